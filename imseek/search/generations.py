"""Cache the generations that a process searches: the newest, and one that page tokens still refer to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from imseek.data.catalog.backend import backend_of
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex, open_index, placement_on
from imseek.errors import (
    CollectionNotFoundError,
    CorruptCollectionError,
    ExpiredPageError,
    StaleGenerationError,
    UntrustedCollectionError,
    repair_command,
)
from imseek.search.row_sample import SAMPLE, sample_rows
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.data.vectors.faiss_snapshot import Snapshot
    from imseek.data.vectors.gpu import Placement

T = TypeVar("T")

#: Seconds that an earlier generation is kept after a newer one has been opened.
KEEP_SECONDS: Final = 600.0
#: Maximum bytes of vectors that the earlier generation may hold and the newer does not; beyond that, after a large
#: merge, it is dropped at once.
MAX_OWN_BYTES: Final = 256 << 20


@dataclass(slots=True, eq=False)
class Generation:
    """One generation with its reader and the indexes opened so far, by space id.

    ``before`` holds indexes of an earlier generation, from which new ones are built. ``paged`` is True once a page
    token has been issued. ``samples`` caches samples by space and size, ``allowed`` the images that satisfy a
    condition. ``notes`` are messages about spaces whose approximate index is damaged or not trusted.
    """

    reader: Reader
    indexes: dict[int, VectorIndex] = field(default_factory=dict)
    before: dict[int, VectorIndex] = field(default_factory=dict)
    samples: dict[tuple[int, int], Float32] = field(default_factory=dict)
    allowed: dict[str, Any] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    paged: bool = False

    def sample(self, space: SpaceInfo, most: int = SAMPLE) -> Float32:
        """Return at most ``most`` rows (n, dim) of live images: the same images in all spaces and on every call."""
        key = space.space_id, most
        if key not in self.samples:
            rows = sample_rows(self.reader.segments(space.space_id), most)
            self.samples[key] = rows.reshape(-1, space.dim)
        return self.samples[key]


class Renewable(Protocol):
    """A collection that is held open."""

    def renew(self) -> int: ...


def retry_if_stale(work: Callable[[], T], *opened: Renewable) -> T:
    """Call ``work``, and again on newer generations of what it has ``opened`` if a purge removed files of theirs.

    A page token of a deleted generation raises ExpiredPageError: its ranking cannot be continued in another
    generation. Raises StaleGenerationError if the newest generations fail too.
    """
    failed: list[int] = []
    while True:
        try:
            return work()
        except ExpiredPageError:
            raise
        except StaleGenerationError:
            newest = [one.renew() for one in opened]
            if newest == failed:
                raise
            failed = newest


class GenerationCache:
    """Opens and caches generations. Thread-safe. ``device`` is where the user wants vectors to be searched."""

    def __init__(self, root: Path, kind: str, device: str = "auto") -> None:
        self._root = root
        self._kind = kind
        self._device = device
        self._placement: Placement | None = None
        self._lock = threading.RLock()
        self._newest = Generation(Reader(root))
        self._earlier: tuple[float, Generation] | None = None
        self._stamp: tuple[int | str, ...] | None = None  # change stamp of the newest generation

    def newest(self) -> Generation:
        """Return the newest generation.

        Raises CollectionNotFoundError if the collection is gone or has been replaced.
        """
        with self._lock:
            open_generation, stamp = self._newest, backend_of(self._root).read_generation_stamp()
            is_new = stamp is None or stamp != self._stamp
            current = open_generation.reader.current
            if is_new:
                current = read_current(self._root)
                self._check(current.uuid)
            if current.generation != open_generation.reader.generation:
                reader = open_generation.reader.reopen()
                in_use = {space.space_id for space in reader.current.spaces}
                before = {**open_generation.before, **open_generation.indexes}
                self._newest = Generation(reader, before={i: index for i, index in before.items() if i in in_use})
                self._earlier = (time.monotonic(), open_generation) if open_generation.paged else None
            elif self._earlier is not None and time.monotonic() - self._earlier[0] > KEEP_SECONDS:
                self._earlier = None
            self._stamp = stamp
            return self._newest

    @property
    def reader(self) -> Reader:
        """The reader of the newest generation."""
        return self.newest().reader

    def read(self, question: Callable[[Reader], T]) -> T:
        """Call ``question`` with the reader of the newest generation, again if that generation is purged meanwhile."""
        return retry_if_stale(lambda: question(self.reader), self)

    def of(self, generation: int) -> Generation:
        """Return a generation by number. Raises ExpiredPageError if it is neither the newest nor kept."""
        with self._lock:
            newest = self.newest()
            available = [newest] if self._earlier is None else [newest, self._earlier[1]]
        for one in available:
            if one.reader.generation == generation:
                return one
        raise expired_page_error(generation, newest.reader.generation)

    def index(self, generation: Generation, space: SpaceInfo) -> VectorIndex:
        """Return the index of a space, built from that of another generation if possible.

        Raises CorruptCollectionError, MissingExtraError, StaleGenerationError.
        """
        with self._lock:
            index = generation.indexes.get(space.space_id)
            if index is None:
                reader = generation.reader
                previous = generation.before.pop(space.space_id, None)
                segments, snapshot = reader.segments(space.space_id), self._snapshot(generation, space)
                if self._placement is None and self._kind != "memory":
                    self._placement = placement_on(self._device)
                index = open_index(
                    self._kind,
                    segments,
                    space.dim,
                    previous=previous,
                    snapshot=snapshot,
                    placement=self._placement,
                )
                missing = reader.current.images - len(index) - reader.count_without_caption(space.space_id)
                if missing:
                    raise CorruptCollectionError(
                        f"{missing} images have no vector of {space.encoder}",
                        hint=repair_command(self._root),
                    )
                generation.indexes[space.space_id] = index
                if self._earlier is not None and generation is self._newest:
                    earlier_index = self._earlier[1].indexes.get(space.space_id)
                    if earlier_index is not None and _own_bytes(earlier_index, index) > MAX_OWN_BYTES:
                        self._earlier = None
            return index

    def _snapshot(self, generation: Generation, space: SpaceInfo) -> Snapshot | None:
        """Return the index snapshot, or None if it is missing, damaged or not trusted: the vectors hold the same data.

        Raises StaleGenerationError if it is gone and a newer generation exists.
        """
        try:
            return generation.reader.snapshot(space.space_id)
        except StaleGenerationError:
            if read_current(self._root).generation != generation.reader.generation:
                raise
        except CorruptCollectionError:
            pass
        except UntrustedCollectionError as error:
            generation.notes[space.space_id] = f"all vectors were read, since {error} ({error.hint})"
            return None
        from imseek.data.catalog.index_policy import policy_of

        generation.notes[space.space_id] = (
            f"the vector index of {space.encoder} is damaged, and all vectors were read instead: "
            f"`imseek maintain --index {policy_of(self._root).kind}` builds it again"
        )
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Messages on why vectors are not searched on the device that the user asked for."""
        note = None if self._placement is None else self._placement.note
        return () if note is None else (note,)

    def renew(self) -> int:
        """Reopen the collection after files of the open generation were deleted; return its newest generation."""
        with self._lock:
            reader = Reader(self._root)
            self._check(reader.identity.uuid)
            self._newest, self._earlier, self._stamp = Generation(reader), None, None
            return self._newest.reader.generation

    def close(self) -> None:
        with self._lock:
            self._earlier = None
            self._newest.indexes.clear()
            self._newest.reader.close()

    def _check(self, uuid: str) -> None:
        """Raise CollectionNotFoundError if another collection is here.

        Ids, generations and file names mean different things in another collection.
        """
        if uuid != self._newest.reader.identity.uuid:
            raise CollectionNotFoundError(
                f"another collection has taken the place of the one that was opened at {self._root}",
                hint="open it again",
            )


def _own_bytes(index: VectorIndex, other: VectorIndex) -> int:
    """Return the bytes of vectors that ``index`` holds and ``other`` does not."""
    shared_rows = {id(segment.rows) for segment in other.segments}
    return sum(segment.rows.nbytes for segment in index.segments if id(segment.rows) not in shared_rows)


def expired_page_error(generation: int, newest: int) -> ExpiredPageError:
    """Return the error for a page token whose generation is no longer kept."""
    return ExpiredPageError(
        f"the page token is out of date: it is of generation {generation}, and the collection is at {newest}",
        hint="start again from the first page",
    )
