"""Comparing sources with what the catalog knows of them: what is new, changed, unchanged, gone."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from imseek.data import sources as catalog_sources
from imseek.data.batch import FailedFile
from imseek.data.catalog import FileStat, KnownFailure, KnownPlace, Source
from imseek.data.writer import Writer
from imseek.errors import UsageError
from imseek.indexer.sources.folder import (
    GONE,
    MISSING,
    Unreachable,
    Walk,
    path_below,
    place_in,
    reaches,
    trouble_at,
)
from imseek.types import SkipReason, display_path

_V = TypeVar("_V")

#: Reasons that may be gone the next time, whatever the file looks like: it is tried again in each run.
RETRIED = frozenset(
    {SkipReason.UNREADABLE, SkipReason.VANISHED, SkipReason.CHANGED, SkipReason.ENCODER_FAILED}
)


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
    failure: KnownFailure | None = None

    def failed(self, stat: FileStat, reason: str, message: str) -> Skipped:
        return Skipped(FailedFile(self.source_id, self.path, stat, reason, message), self.full)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that is not indexed, as it is recorded, and its absolute path."""

    failed: FailedFile
    full: bytes


@dataclass(frozen=True, slots=True)
class Homeless:
    """A live image whose place is gone: if its content turns up elsewhere, that is a move.

    ``stored`` is False where its vector was lost; ``expires``, whether it dies if it does not turn up;
    ``replaced``, whether other content lies at its place, so that it has changed rather than vanished.
    """

    image_id: int
    stored: bool
    expires: bool = True
    replaced: bool = False


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


def targets(writer: Writer, paths: Sequence[bytes], *, follow_symlinks: bool = False) -> list[Target]:
    """What to scan for these absolute paths; new sources are recorded. No paths: every source.

    A source inside another stays one of its own, which the outer one passes over: what protects it (a disk that
    is not mounted) goes on to hold. Raises UsageError, before anything is recorded, for a path that is not there
    and never was.
    """
    if not paths:
        return [Target(source, root) for source, root in _roots(writer)]
    for path in paths:
        _check(writer, path)
    found: dict[tuple[int, bytes], Target] = {}
    for path in paths:
        for target in _targets(writer, path, follow_symlinks):
            found[target.source.source_id, target.below] = target
    wholes = {source_id for source_id, below in found if not below}
    return [t for (source_id, below), t in found.items() if not below or source_id not in wholes]


def _roots(writer: Writer) -> list[tuple[Source, bytes]]:
    return [(s, catalog_sources.absolute_root(writer.root, s)) for s in writer.catalog.sources()]


def _check(writer: Writer, path: bytes) -> None:
    try:
        os.stat(path)
    except OSError as error:
        for source, root in _roots(writer):
            if catalog_sources.contains(root, path):
                below = path_below(root, path)
                if not below or _within(writer.catalog.known_places(source.source_id), below):
                    return
        if error.errno in GONE:
            raise UsageError(f"no such file or folder: {display_path(path)}") from error
        raise UsageError(f"cannot look at {display_path(path)}: {error.strerror}") from error


def _targets(writer: Writer, path: bytes, follow: bool) -> list[Target]:
    """The source that a walk would find ``path`` in (else a new one), and all sources inside it."""
    roots = _roots(writer)
    inside = [Target(s, root) for s, root in roots if root != path and catalog_sources.contains(path, root)]
    holding = [
        (len(root), Target(s, root, path_below(root, path)))
        for s, root in roots
        if catalog_sources.contains(root, path) and reaches(root, path, follow)
    ]
    if holding:
        return [max(holding, key=lambda pair: pair[0])[1], *inside]
    kind = "folder" if os.path.isdir(path) else "file"
    return [Target(catalog_sources.add(writer, kind, path), path), *inside]


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
    roots = _roots(writer)
    for target in wanted:
        inside = frozenset(
            os.path.relpath(root, target.root)
            for _, root in roots
            if root != target.root and catalog_sources.contains(target.root, root)
        )
        walk = Walk(target.root, follow_symlinks, target.below, inside)
        _scan_one(writer, target, walk, result, rehash, retry_failed)
    # First what may have changed in place: a new file may hold what such a file held before.
    result.candidates.sort(key=lambda c: c.known is None)
    return result


def _scan_one(
    writer: Writer, target: Target, walk: Walk, result: ScanResult, rehash: bool, retry_failed: bool
) -> None:
    source_id = target.source.source_id
    known = _within(writer.catalog.known_places(source_id), target.below)
    failures = _within(writer.catalog.known_failures(source_id), target.below)
    if (trouble := trouble_at(target.root)) is not None:
        result.notes.append(f"{display_path(target.root)}: {trouble}; {_kept(len(known))}")
        return
    seen: set[bytes] = set()
    for entry in walk:
        seen.add(entry.path)
        full = place_in(target.root, entry.path)
        if isinstance(entry, Unreachable):
            if entry.path in failures:
                result.known_failures += 1
            else:
                failed = FailedFile(source_id, entry.path, entry.stat, entry.reason, entry.message)
                result.skipped.append(Skipped(failed, full))
            continue
        result.seen += 1
        before = known.get(entry.path)
        if before is not None and before.stored and not rehash and before.stat.same_as(entry.stat):
            result.unchanged += 1
            continue
        failure = failures.get(entry.path)
        final = failure is not None and failure.reason not in RETRIED and failure.stat.same_as(entry.stat)
        if final and not retry_failed:
            result.known_failures += 1
        else:
            result.candidates.append(Candidate(source_id, entry.path, full, entry.stat, before, failure))
    _note_others(target, walk, result)
    missing = {path: place for path, place in known.items() if path not in seen}
    if missing and not seen and not target.below:
        result.notes.append(
            f"{display_path(target.root)} is empty, perhaps not mounted: {_kept(len(known))}; "
            f"`imseek source remove {source_id}` if they are gone for good"
        )
        return
    _note_gone(target, missing, result)
    result.cleared += [(source_id, path) for path in failures if path not in seen]


def _note_others(target: Target, walk: Walk, result: ScanResult) -> None:
    for folder in walk.collections:
        where = place_in(target.root, folder)
        result.notes.append(f"{display_path(where)} is a collection: not scanned")
    if walk.others:
        files = "1 other file does" if walk.others == 1 else f"{walk.others:,} other files do"
        result.notes.append(f"{display_path(target.root)}: {files} not look like a picture")


def _note_gone(target: Target, missing: Mapping[bytes, KnownPlace], result: ScanResult) -> None:
    """Of the places that the walk did not come to, only those that the system says are not there are gone."""
    kept = 0
    for path, place in missing.items():
        if trouble_at(place_in(target.root, path)) == MISSING:
            result.lost[place.content_hash].append(Homeless(place.image_id, place.stored))
        else:
            kept += 1
    if kept:
        result.notes.append(
            f"{display_path(target.root)}: {_kept(kept)}, though this run did not come to them "
            "(no right to look, a hidden folder, or a link)"
        )


def _kept(count: int) -> str:
    return "1 image is kept as it is" if count == 1 else f"{count:,} images are kept as they are"


def _within(found: dict[bytes, _V], below: bytes) -> dict[bytes, _V]:
    if not below:
        return found
    return {path: value for path, value in found.items() if catalog_sources.contains(below, path)}
