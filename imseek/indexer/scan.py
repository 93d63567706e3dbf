"""Scans sources and compares them with the catalog: what is new, changed, unchanged or gone."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from imseek.data.catalog import place_paths
from imseek.data.catalog import sources as catalog_sources
from imseek.data.catalog.catalog_writer import Catalog, KnownFailure, KnownPlace
from imseek.data.catalog.changeset import FailedFile
from imseek.data.user_files.file_stat import FileStat
from imseek.errors import PluginError
from imseek.indexer.missing_images import MissingImage
from imseek.indexer.source_selection import LIST_KIND, Target
from imseek.indexer.sources import filter_of, open_source
from imseek.indexer.sources.base import MISSING, Container, FoundImage, Source, UnreachableEntry
from imseek.indexer.sources.local_files import is_empty
from imseek.types.pictures import SkipReason, display_path

#: Reasons that may not recur: such files are retried in each run, even if unchanged.
RETRIED_REASONS: Final = frozenset(
    {
        SkipReason.UNREADABLE,
        SkipReason.VANISHED,
        SkipReason.CHANGED,
        SkipReason.ENCODER_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that must be read: new (``known_place`` is None), or possibly changed."""

    target: Target
    source: Source
    image: FoundImage
    known_place: KnownPlace | None
    failure: KnownFailure | None = None

    @property
    def source_id(self) -> int:
        return self.target.source.source_id

    @property
    def path(self) -> bytes:
        return self.image.path

    @property
    def is_named(self) -> bool:
        """Whether the place has a name of its own; a row number does not identify a picture."""
        return self.target.source.kind not in place_paths.ROW_KINDS or place_paths.split(self.path)[2] != b""

    def failed(self, stat: FileStat, reason: str, message: str) -> FailedFile:
        """Return what to record and report when the candidate could not be read."""
        return failed_file(self.target, UnreachableEntry(self.path, SkipReason(reason), message, stat))


@dataclass(frozen=True, slots=True)
class EditedSidecars:
    """An unchanged picture with files beside it that have changed, come or gone: only these must be read."""

    target: Target
    source: Source
    image: FoundImage
    known_place: KnownPlace

    @property
    def source_id(self) -> int:
        return self.target.source.source_id


@dataclass(frozen=True, slots=True)
class PendingContainer:
    """A container that must be opened: new, possibly changed, or not read to its end before.

    ``before`` is the recorded stat, ``failed`` whether a failure to read it is recorded.
    """

    target: Target
    source: Source
    container: Container
    before: FileStat | None
    failed: bool


@dataclass(slots=True)
class ScanResult:
    """The result of a scan. ``lost`` holds images whose file has disappeared, by content hash.

    ``seen`` counts apparent pictures, ``unchanged`` those that need not be read, among them those of ``edited``, and
    ``known_failures`` those that failed before and are unchanged. ``cleared`` are recorded failures of files that no
    longer exist, ``emptied`` containers that no longer exist. ``sources`` are open; the caller closes them.
    """

    candidates: list[Candidate] = field(default_factory=list)
    edited: list[EditedSidecars] = field(default_factory=list)
    openings: list[PendingContainer] = field(default_factory=list)
    skipped: list[FailedFile] = field(default_factory=list)
    lost: dict[bytes, list[MissingImage]] = field(default_factory=lambda: defaultdict(list))
    cleared: list[tuple[int, bytes]] = field(default_factory=list)
    emptied: list[tuple[int, bytes]] = field(default_factory=list)
    seen: int = 0
    unchanged: int = 0
    known_failures: int = 0
    notes: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How thorough a scan is: ``rehash`` reads everything again, ``retry_failed`` what failed before."""

    rehash: bool = False
    retry_failed: bool = False
    follow_symlinks: bool = False


def scan(
    catalog: Catalog, targets: Iterable[Target], settings: ScanSettings, stop: threading.Event | None = None
) -> ScanResult:
    """Scan the targets and compare them with the catalog. A source that is missing entirely loses no images.

    Once ``stop`` is set, opening a container of the sources raises Cancelled.
    """
    result = ScanResult()
    roots = [catalog_sources.absolute_root(catalog.root, source) for source in catalog.sources()]
    # Files indexed by name stay on their list, even if their folder is scanned.
    roots += [
        path
        for source in catalog.sources()
        if source.kind == LIST_KIND
        for path in catalog.known_places(source.source_id)
    ]
    for target in targets:
        inside = frozenset(
            root[len(target.root.rstrip(b"/")) + 1 :]
            for root in roots
            if target.root and root != target.root and catalog_sources.contains(target.root, root)
        )
        _scan_one(catalog, target, inside, settings, result, stop)
    # Changed files come first: a new file may hold the former content of one of them.
    result.candidates.sort(key=lambda c: c.known_place is None)
    return result


def _scan_one(
    catalog: Catalog,
    target: Target,
    inside: frozenset[bytes],
    settings: ScanSettings,
    result: ScanResult,
    stop: threading.Event | None,
) -> None:
    source_id = target.source.source_id
    is_container = target.source.kind in place_paths.CONTAINER_KINDS
    known_places = {} if is_container else catalog.known_places(source_id, below=target.below)
    failures = catalog.known_failures(source_id, below=target.below)
    containers = catalog.known_containers(source_id) if is_container else {}
    names = target.names if target.names is not None else sorted({*known_places, *failures})
    try:
        source = open_source(
            target.source.kind, target.root, target.options, below=target.below, names=names, inside=inside,
            follow_symlinks=settings.follow_symlinks,
            read_ns=max((place.stat.checked_ns for place in known_places.values()), default=0), stop=stop,
        )  # fmt: skip
    except PluginError as error:  # Other sources need no plugin of this one.
        kept_note = _kept_note(_count(catalog, target, known_places, containers))
        result.notes.append(f"{target.shown}: {error}; {kept_note}; {error.hint}")
        return
    result.sources.append(source)
    if (trouble := source.trouble()) is not None:
        note = f"{target.shown}: {trouble}; {_kept_note(_count(catalog, target, known_places, containers))}"
        hint = f"; `imseek source relocate {source_id} NEW` if it has moved"
        result.notes.append(note + hint * (trouble == MISSING))
        return
    visited: set[bytes] = set()
    scanning = _SourceScan(catalog, target, source, settings, result, known_places, failures, containers)
    for entry in source.scan():
        vanished = isinstance(entry, UnreachableEntry) and entry.reason is SkipReason.VANISHED
        if vanished and (entry.path in known_places or target.names is None):
            continue  # For a name on a list: an indexed one is gone, an unknown one is a failure if the user named it.
        visited.add(entry.path)
        scanning.take(entry)
    result.notes += source.notes
    if target.names is not None:
        name_set = set(names)
        known_places = {path: place for path, place in known_places.items() if path in name_set}
        failures = {path: failure for path, failure in failures.items() if path in name_set}
    missing = {path: place for path, place in known_places.items() if path not in visited and not place.quarantined}
    path_filter = filter_of(target.options)
    left_out = bool(missing) and not any(map(path_filter.reaches, missing))  # excluded by globs, as intended
    if (missing or containers) and not visited and not left_out and (target.whole or is_empty(target.root)):
        kept_note = _kept_note(_count(catalog, target, known_places, containers))
        result.notes.append(
            f"{target.shown} {'is empty' if target.root else 'are all missing'}, perhaps not mounted: {kept_note}; "
            f"`imseek source relocate {source_id} NEW` if they have moved, "
            f"`imseek source remove {source_id}` if they are gone for good"
        )
        return
    _note_gone(target, source, missing, result)
    _note_gone_containers(catalog, target, source, containers.keys() - visited, result)
    result.cleared += [(source_id, path) for path in failures if place_paths.split(path)[0] not in visited]


@dataclass(frozen=True, slots=True)
class _SourceScan:
    """Compares the entries of one source as they arrive."""

    catalog: Catalog
    target: Target
    source: Source
    settings: ScanSettings
    result: ScanResult
    known_places: Mapping[bytes, KnownPlace]
    failures: Mapping[bytes, KnownFailure]
    containers: Mapping[bytes, FileStat]

    def take(self, entry: FoundImage | Container | UnreachableEntry) -> None:
        if isinstance(entry, UnreachableEntry):
            if entry.path in self.failures:
                self.result.known_failures += 1
            else:
                self.result.skipped.append(failed_file(self.target, entry))
        elif isinstance(entry, Container):
            self._container(entry)
        else:
            self.result.seen += 1
            sorted_out = compare(self.target, self.source, entry, self.known_places, self.failures, self.settings)
            if isinstance(sorted_out, Candidate):
                self.result.candidates.append(sorted_out)
            elif isinstance(sorted_out, EditedSidecars):
                self.result.edited.append(sorted_out)
                self.result.unchanged += 1
            elif sorted_out:
                self.result.unchanged += 1
            else:
                self.result.known_failures += 1

    def _container(self, container: Container) -> None:
        """Queue a container for opening only if it is new, has changed, or was not read to its end."""
        source_id = self.target.source.source_id
        images, lost, failed = self.catalog.count_within(source_id, container.path)
        failure = self.failures.get(container.path)
        broken = failure is not None and is_final(failure, container.stat)
        retry = self.settings.retry_failed and (failed or failure is not None)
        before = self.containers.get(container.path)
        is_unchanged = before is not None and before.same_as(container.stat)
        if ((is_unchanged and not lost) or broken) and not self.settings.rehash and not retry:
            self.result.seen += images + failed
            self.result.unchanged += images
            self.result.known_failures += failed + broken
        else:
            self.result.openings.append(
                PendingContainer(self.target, self.source, container, before, failure is not None)
            )


def compare(
    target: Target,
    source: Source,
    image: FoundImage,
    known_places: Mapping[bytes, KnownPlace],
    failures: Mapping[bytes, KnownFailure],
    settings: ScanSettings,
) -> Candidate | EditedSidecars | bool:
    """Return what to read, True if the picture is unchanged, or False if it failed before and is unchanged."""
    before = known_places.get(image.path)
    settled = before is not None and before.stored and not before.quarantined
    if before is not None and settled and not settings.rehash and before.stat.same_as(image.stat):
        is_edited = before.sidecar_stat != image.sidecar_stat
        return EditedSidecars(target, source, image, before) if is_edited else True
    failure = failures.get(image.path)
    if failure is not None and is_final(failure, image.stat) and not settings.retry_failed:
        return False
    return Candidate(target, source, image, before, failure)


def is_final(failure: KnownFailure, stat: FileStat) -> bool:
    """Return whether trying again would fail in the same way."""
    return failure.reason not in RETRIED_REASONS and failure.stat.same_as(stat)


def failed_file(target: Target, entry: UnreachableEntry) -> FailedFile:
    """Return what to record and report of an entry that cannot be examined."""
    full = place_paths.locate(target.root, entry.path)
    return FailedFile(target.source.source_id, entry.path, entry.stat, entry.reason, entry.message, full)


def _note_gone(target: Target, source: Source, missing: Mapping[bytes, KnownPlace], result: ScanResult) -> None:
    """Record as lost those unvisited places that the source confirms to be gone; keep the others with a note."""
    remaining = 0
    for path, place in missing.items():
        if source.is_gone(path):
            result.lost[place.content_hash].append(MissingImage(place.image_id, place.stored))
        else:
            remaining += 1
    if remaining:
        result.notes.append(
            f"{target.shown}: {_kept_note(remaining)}, though this run did not come to them "
            "(no right to look, a hidden folder, or a link)"
        )


def _note_gone_containers(
    catalog: Catalog, target: Target, source: Source, missing: Iterable[bytes], result: ScanResult
) -> None:
    source_id = target.source.source_id
    for path in sorted(missing):
        if not catalog_sources.contains(target.below, path) and target.below:
            continue
        places = catalog.known_places(source_id, path)
        if source.is_gone(path):
            for place in places.values():
                result.lost[place.content_hash].append(MissingImage(place.image_id, place.stored))
            result.emptied.append((source_id, path))
        elif places:
            where = display_path(place_paths.locate(target.root, path))
            result.notes.append(f"{where}: {_kept_note(len(places))}, though this run did not come to it")


def _count(catalog: Catalog, target: Target, places: Mapping[bytes, KnownPlace], containers: Iterable[bytes]) -> int:
    source_id = target.source.source_id
    return len(places) + sum(catalog.count_within(source_id, path)[0] for path in containers)


def _kept_note(count: int) -> str:
    return "1 image is kept as it is" if count == 1 else f"{count:,} images are kept as they are"
