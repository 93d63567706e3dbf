"""Units of work sent to workers, and the results they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR
from imseek.data.user_files.file_stat import FileStat
from imseek.indexer.decode_stage import FailedPicture, Item, LoadedPicture, Loader, Result, Trouble, read
from imseek.indexer.executors.staging import Manifest
from imseek.indexer.scan import Candidate
from imseek.indexer.sources.base import Content, FoundImage
from imseek.types.indexing_runs import SourceOptions
from imseek.types.pictures import ImageFacts

#: Maximum bytes of a shard, whose pictures a worker holds while the run looks up their hashes.
SHARD_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class SourceKey:
    """Kind, root and options of a source, with which a worker opens it."""

    kind: str
    root: bytes
    options: SourceOptions


@dataclass(frozen=True, slots=True)
class PictureInput:
    """One picture for a worker: what to load from which source, or the picture's content itself."""

    source: SourceKey
    payload: FoundImage | Content


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """A picture that a worker has read and holds; ``content`` has no bytes."""

    content: Content
    content_hash: bytes
    size: int


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture's facts, and the index of its staged row or the reason why an encoder failed on it."""

    facts: ImageFacts
    row: int | str


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """A worker's result for a shard; pictures are None where no row was needed.

    A staged row concatenates the rows of all spaces.
    """

    pictures: tuple[EncodedPicture | Trouble | None, ...]
    staged: Manifest | None
    precisions: Mapping[int, str]


class Outcome:
    """The results of consecutive items, which may be processed in several pieces."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._results: list[Result | None] = [None if isinstance(i, Candidate) else i for i in items]
        self._remaining = sum(isinstance(item, Candidate) for item in items)
        self._done = threading.Event()
        self._error: BaseException | None = None
        if not self._remaining:
            self._done.set()

    def put(self, index: int, result: Result) -> None:
        assert self._results[index] is None, "each item has exactly one result"
        self._results[index] = result
        self._remaining -= 1
        if not self._remaining:
            self._done.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._done.set()

    def take(self) -> list[Result]:
        """Wait for all results and return them. Raises the error passed to :meth:`fail`."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return [result for result in self._results if result is not None]


@dataclass(eq=False, slots=True)
class WorkUnit:
    """Pictures assigned to one worker: a shard, or a single picture of a shard during whose processing workers died.

    ``at`` are their positions in the outcome; ``tries`` counts assignments, ``deaths`` the workers lost with it. A
    ``suspect`` is assigned only to a worker without other pieces. ``loaded`` are the pictures that the worker has read,
    not decoded yet, once their contents are looked up. ``clock_ns`` is the run's clock at the last assignment.
    """

    number: int
    outcome: Outcome
    at: list[int]
    candidates: list[Candidate]
    parcels: list[PictureInput]
    tries: int = 0
    deaths: int = 0
    suspect: bool = False
    loaded: list[LoadedPicture | Trouble] = field(default_factory=list)
    clock_ns: int = 0

    def __len__(self) -> int:
        return len(self.at)

    def put(self, n: int, result: Result) -> None:
        self.outcome.put(self.at[n], result)

    def timed(self, n: int, stat: FileStat) -> FileStat:
        """Return ``stat`` with the run's time of assignment, because a worker's clock may be ahead."""
        return stat if stat == self.candidates[n].image.stat else replace(stat, checked_ns=self.clock_ns)

    def alone(self, number: Callable[[], int]) -> list[WorkUnit]:
        """Split into single pictures, so that one that kills workers affects no other."""
        return [
            WorkUnit(number(), self.outcome, [at], [candidate], [parcel], suspect=True)
            for at, candidate, parcel in zip(self.at, self.candidates, self.parcels, strict=True)
        ]


def split_into_units(
    items: Iterable[Item], loader: Loader, size: int, number: Callable[[], int]
) -> Iterator[tuple[Outcome, WorkUnit]]:
    """Split items, in order, into shards of ``size`` candidates, fewer if these are large.

    Pictures with imported rows, and those that cannot be sent, get their results at once.
    """
    batch: list[tuple[Item, FoundImage | Content | Trouble | None]] = []
    candidates = weight = 0
    for item in items:
        payload = read(item.source.portable, item.image) if isinstance(item, Candidate) else None
        batch.append((item, payload))
        candidates += isinstance(item, Candidate)
        weight += _payload_bytes(payload)
        if candidates >= size or weight >= SHARD_BYTES or len(batch) >= 16 * size:
            yield _shard(batch, loader, number())
            batch, candidates, weight = [], 0, 0
    if batch:
        yield _shard(batch, loader, number())


def _shard(
    batch: Sequence[tuple[Item, FoundImage | Content | Trouble | None]], loader: Loader, number: int
) -> tuple[Outcome, WorkUnit]:
    outcome = Outcome([item for item, _ in batch])
    piece = WorkUnit(number, outcome, [], [], [])
    for at, (item, payload) in enumerate(batch):
        if payload is None or not isinstance(item, Candidate):
            continue
        if isinstance(payload, Trouble):
            outcome.put(at, FailedPicture.of(item, payload))
        elif isinstance(payload, Content) and payload.taken is not None:
            outcome.put(at, loader.take(item, payload, payload.taken))
        else:
            target = item.target
            key = SourceKey(target.source.kind, target.root, target.options)
            piece.at.append(at)
            piece.candidates.append(item)
            piece.parcels.append(PictureInput(key, payload))
    return outcome, piece


def _payload_bytes(payload: FoundImage | Content | Trouble | None) -> int:
    """Return the bytes of a picture as known before it is read.

    Inside a container the stat is that of the container's file, so only data at hand counts.
    """
    if isinstance(payload, Content):
        return len(payload.data)
    if not isinstance(payload, FoundImage):
        return 0
    if MEMBER_SEPARATOR in payload.path:
        return len(getattr(payload.where, "data", b""))
    return max(0, payload.stat.size)
