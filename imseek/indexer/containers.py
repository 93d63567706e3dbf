"""Open the containers that a scan found new or changed, one at a time, and note which ones were read to their end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from imseek.data.catalog.catalog_writer import Catalog
from imseek.data.catalog.changeset import FailedFile, ScannedContainer
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, split
from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import MediaError
from imseek.indexer.missing_images import MissingImage
from imseek.indexer.scan import (
    RETRIED_REASONS,
    Candidate,
    EditedSidecars,
    PendingContainer,
    ScanSettings,
    compare,
    failed_file,
)
from imseek.indexer.sources.base import UnreachableEntry
from imseek.progress import Cancelled
from imseek.types.pictures import SkipReason


@dataclass(slots=True)
class ContainerResult:
    """The outcome of opening a container, yielded after its last picture.

    ``stat`` is that of a container read to its end, otherwise ``UNKNOWN_STAT``, so that the next run opens it again.
    ``lost`` are the images that it no longer holds, by content hash; ``settled`` are ids of those it still holds.
    """

    source_id: int
    path: bytes
    stat: FileStat = UNKNOWN_STAT
    lost: dict[bytes, list[MissingImage]] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    cleared: list[tuple[int, bytes]] = field(default_factory=list)
    seen: int = 0
    known_failures: int = 0

    @classmethod
    def of(cls, opening: PendingContainer) -> ContainerResult:
        """Start the outcome of a container that is about to be opened."""
        return cls(opening.target.source.source_id, opening.container.path)


class ContainerLog:
    """Containers of a run that may be recorded as read to their end, so that the next run need not open them."""

    def __init__(self) -> None:
        self._complete: list[ScannedContainer] = []
        self._with_losses: list[ScannedContainer] = []
        self._unfinished: set[tuple[int, bytes]] = set()

    def end(self, result: ContainerResult) -> None:
        """Add a container after its last picture, unless it was not read to its end."""
        if result.stat != UNKNOWN_STAT:  # otherwise that was recorded at the start of the run
            container = ScannedContainer(result.source_id, result.path, result.stat)
            # Until its lost images are found elsewhere or removed, an interrupted run must open it again.
            (self._with_losses if result.lost else self._complete).append(container)

    def open_again(self, source_id: int, path: bytes) -> None:
        """Have the next run open the container of a picture that may be readable then; other places do not matter."""
        if MEMBER_SEPARATOR in path:
            self._unfinished.add((source_id, split(path)[0]))

    def take_read(self) -> list[ScannedContainer]:
        """Take the containers that lost no image."""
        complete, self._complete = self._complete, []
        return complete

    def take_with_losses(self) -> list[ScannedContainer]:
        """Take the containers that lost images, once all of these are found elsewhere or removed."""
        with_losses, self._with_losses = self._with_losses, []
        return with_losses

    def mark_unfinished(self, containers: Iterable[ScannedContainer]) -> list[ScannedContainer]:
        """Return the containers as they are recorded, those to open again with an unknown stat."""
        return [
            replace(one, stat=UNKNOWN_STAT) if (one.source_id, one.path) in self._unfinished else one
            for one in containers
        ]


def expand(
    catalog: Catalog, opening: PendingContainer, settings: ScanSettings, result: ContainerResult
) -> Iterator[Candidate | EditedSidecars | FailedFile | ContainerResult]:
    """Yield the pictures of a container that must be read, then ``result``, which is updated along the way.

    Raises Cancelled if the run is stopped.
    """
    target, source, container = opening.target, opening.source, opening.container
    source_id = target.source.source_id
    known_places = catalog.known_places(source_id, container.path)
    failures = catalog.known_failures(source_id, container.path)
    visited: set[bytes] = set()
    failing: set[bytes] = set()
    is_complete = True
    try:
        for entry in source.expand(container):
            before = known_places.get(entry.path)
            if isinstance(entry, UnreachableEntry):
                if before is not None and entry.reason is SkipReason.VANISHED and source.is_gone(entry.path):
                    continue
                if before is not None and entry.reason is not SkipReason.EMPTY_FILE:
                    visited.add(entry.path)
                    result.seen += 1
                    result.settled.append(before.image_id)
                failing.add(entry.path)
                if entry.path in failures and failures[entry.path].reason == entry.reason:
                    result.known_failures += 1
                    is_complete = is_complete and entry.reason not in RETRIED_REASONS
                else:
                    yield failed_file(target, entry)
                continue
            visited.add(entry.path)
            result.seen += 1
            sorted_out = compare(target, source, entry, known_places, failures, settings)
            if sorted_out is True or isinstance(sorted_out, EditedSidecars):
                result.settled.append(known_places[entry.path].image_id)
                if isinstance(sorted_out, EditedSidecars):
                    yield sorted_out
                continue
            failing.add(entry.path)  # reading the candidate decides whether it still fails
            if isinstance(sorted_out, Candidate):
                yield sorted_out
            else:
                result.known_failures += 1
    except Cancelled:
        raise
    except (MediaError, OSError) as error:
        # Its former images are kept: it may be readable again next time.
        reason = error.reason if isinstance(error, MediaError) else SkipReason.UNREADABLE
        message = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
        yield failed_file(target, UnreachableEntry(container.path, SkipReason(reason), message, container.stat))
        result.settled += [place.image_id for path, place in known_places.items() if path not in visited]
        yield result
        return
    result.stat = container.stat if is_complete else UNKNOWN_STAT
    result.cleared = [(source_id, path) for path in failures if path not in failing]
    if opening.failed:
        result.cleared.append((source_id, container.path))
    for path, place in known_places.items():
        if path not in visited:
            result.lost.setdefault(place.content_hash, []).append(MissingImage(place.image_id, place.stored))
    yield result
