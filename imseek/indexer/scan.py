"""Comparing sources with what the catalog knows of them: what is new, changed, unchanged, gone."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from imseek.data import sources as catalog_sources
from imseek.data.catalog import FileStat, KnownPlace, Source
from imseek.data.writer import Writer
from imseek.errors import UsageError
from imseek.indexer.sources.folder import Unreachable, Walk
from imseek.types import display_path

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Target:
    """A source to scan, all of it or only what lies ``below`` a path within it."""

    source: Source
    root: bytes
    below: bytes = b""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file whose content must be read: new (``known`` is None), or perhaps changed."""

    source_id: int
    path: bytes
    full: bytes
    stat: FileStat
    known: KnownPlace | None
    failed_before: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that cannot be looked at, at the absolute path ``full``."""

    source_id: int
    full: bytes
    unreachable: Unreachable


@dataclass(frozen=True, slots=True)
class Homeless:
    """A live image whose place is gone: if its content turns up elsewhere, that is a move.

    ``stored`` is False where its vector was lost; ``expires``, whether it dies if it does not turn up.
    """

    image_id: int
    stored: bool
    expires: bool = True


@dataclass(slots=True)
class ScanResult:
    """What a scan found. ``lost`` holds the images whose place is gone, by content hash.

    ``seen`` counts files that look like pictures, ``known_failures`` those of them that failed before and have
    not changed; ``cleared`` are recorded failures of files that are no longer there.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    lost: dict[bytes, list[Homeless]] = field(default_factory=lambda: defaultdict(list))
    cleared: list[tuple[int, bytes]] = field(default_factory=list)
    seen: int = 0
    unchanged: int = 0
    known_failures: int = 0
    notes: list[str] = field(default_factory=list)


def targets(writer: Writer, paths: Sequence[bytes]) -> list[Target]:
    """What to scan for these absolute paths; new sources are recorded, sources inside a new one join it.

    No paths: every source. Raises UsageError for a path that does not exist and is no source.
    """
    if not paths:
        return [
            Target(source, catalog_sources.absolute_root(writer.root, source))
            for source in writer.catalog.sources()
        ]
    found: dict[tuple[int, bytes], Target] = {}
    for path in paths:
        target = _target(writer, path)
        found[target.source.source_id, target.below] = target
    wholes = {source_id for source_id, below in found if not below}
    return [t for (source_id, below), t in found.items() if not below or source_id not in wholes]


def _target(writer: Writer, path: bytes) -> Target:
    known = [(s, catalog_sources.absolute_root(writer.root, s)) for s in writer.catalog.sources()]
    for source, root in known:
        if catalog_sources.contains(root, path):
            return Target(source, root, b"" if path == root else os.path.relpath(path, root))
    if not os.path.exists(path):
        raise UsageError(f"no such file or folder: {display_path(path)}")
    kind = "folder" if os.path.isdir(path) else "file"
    inner = [source for source, root in known if catalog_sources.contains(path, root)]
    source = catalog_sources.add(writer, kind, path)
    for absorbed in inner:
        catalog_sources.absorb(writer, absorbed, source)
    return Target(source, path)


def scan(
    writer: Writer,
    wanted: Iterable[Target],
    *,
    rehash: bool = False,
    retry_failed: bool = False,
    follow_symlinks: bool = False,
) -> ScanResult:
    """Walk the targets and compare. No file is opened. A source that is missing as a whole loses nothing."""
    result = ScanResult()
    for target in wanted:
        _scan_one(writer, target, result, rehash, retry_failed, follow_symlinks)
    # First what may have changed in place: a new file may hold what such a file held before.
    result.candidates.sort(key=lambda c: c.known is None)
    return result


def _scan_one(
    writer: Writer, target: Target, result: ScanResult, rehash: bool, retry_failed: bool, follow: bool
) -> None:
    source_id = target.source.source_id
    known = _within(writer.catalog.known_places(source_id), target.below)
    failures = _within(writer.catalog.known_failures(source_id), target.below)
    where = os.path.join(target.root, target.below) if target.below else target.root
    if not os.path.exists(where) and (not target.below or not os.path.exists(target.root)):
        result.notes.append(
            f"{display_path(target.root)} is missing: its {len(known)} images are kept as they are"
        )
        return
    walk = Walk(target.root, follow, target.below)
    seen: set[bytes] = set()
    for entry in walk if os.path.exists(where) else ():
        seen.add(entry.path)
        full = os.path.join(target.root, entry.path) if entry.path else target.root
        if isinstance(entry, Unreachable):
            if entry.path in failures:
                result.known_failures += 1
            else:
                result.skipped.append(Skipped(source_id, full, entry))
            continue
        result.seen += 1
        before = known.get(entry.path)
        if before is not None and before.stored and not rehash and before.stat.same_as(entry.stat):
            result.unchanged += 1
        elif not retry_failed and entry.path in failures and failures[entry.path].same_as(entry.stat):
            result.known_failures += 1
        else:
            result.candidates.append(
                Candidate(source_id, entry.path, full, entry.stat, before, entry.path in failures)
            )
    _note_gone(target, known, failures, seen, walk, result)


def _note_gone(
    target: Target,
    known: dict[bytes, KnownPlace],
    failures: dict[bytes, FileStat],
    seen: set[bytes],
    walk: Walk,
    result: ScanResult,
) -> None:
    for folder in walk.collections:
        result.notes.append(f"{display_path(os.path.join(target.root, folder))} is a collection: not scanned")
    if walk.others:
        result.notes.append(
            f"{display_path(target.root)}: {walk.others} other files do not look like pictures"
        )
    missing = {path: place for path, place in known.items() if path not in seen}
    if missing and not seen and not target.below:
        result.notes.append(
            f"{display_path(target.root)} is empty, perhaps not mounted: its {len(known)} images are kept; "
            f"`imseek source remove {target.source.source_id}` if they are gone for good"
        )
        return
    blocked = tuple(walk.blocked)
    for path, place in missing.items():
        if not any(catalog_sources.contains(folder, path) or not folder for folder in blocked):
            result.lost[place.content_hash].append(Homeless(place.image_id, place.stored))
    result.cleared += [(target.source.source_id, path) for path in failures if path not in seen]


def _within(found: dict[bytes, _V], below: bytes) -> dict[bytes, _V]:
    if not below:
        return found
    return {path: value for path, value in found.items() if catalog_sources.contains(below, path)}
