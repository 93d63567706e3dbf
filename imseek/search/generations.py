"""The generations of a collection that a process answers from: the newest, and one that pages still refer to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imseek.data.current_file import look, read_current
from imseek.data.index_info import policy_of
from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex, open_index, placement_on
from imseek.errors import (
    CollectionNotFoundError,
    CorruptCollectionError,
    ExpiredPageError,
    StaleGenerationError,
    UntrustedCollectionError,
)
from imseek.search.fuse_terms import SAMPLE, sample_rows
from imseek.types import Float32, SpaceInfo

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import Placement
    from imseek.data.vectors.snapshot import Snapshot

#: Seconds for which an earlier generation is kept, once a newer one has been taken up.
KEPT: Final = 600.0
#: Bytes of vectors that it may hold which the newer one does not: it goes at once where a merge has written more anew.
OWN: Final = 256 << 20


@dataclass(slots=True, eq=False)
class Edition:
    """One generation, its reader, and the indexes that were opened of it, by space.

    ``before`` are indexes of an earlier generation, which new ones are made from; ``paged`` tells that somebody holds a
    token for more of this one. ``samples`` are those that were asked for, by space and size, ``allowed`` the
    images for which a condition holds. ``notes`` are on spaces whose approximate index is damaged.
    """

    reader: Reader
    indexes: dict[int, VectorIndex] = field(default_factory=dict)
    before: dict[int, VectorIndex] = field(default_factory=dict)
    samples: dict[tuple[int, int], Float32] = field(default_factory=dict)
    allowed: dict[str, Any] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    paged: bool = False

    def sample(self, space: SpaceInfo, most: int = SAMPLE) -> Float32:
        """At most ``most`` rows (n, dim) of live images, the same in all spaces and whenever they are asked for."""
        key = space.space_id, most
        if key not in self.samples:
            rows = sample_rows(self.reader.segments(space.space_id), most)
            self.samples[key] = rows.reshape(-1, space.dim)
        return self.samples[key]


class Editions:
    """Safe to use from several threads. ``device`` is where a user wants vectors searched."""

    def __init__(self, root: Path, kind: str, device: str = "auto") -> None:
        self._root = root
        self._kind = kind
        self._device = device
        self._placement: Placement | None = None
        self._lock = threading.Lock()
        self._newest = Edition(Reader(root))
        self._earlier: tuple[float, Edition] | None = None
        self._seen: tuple[int | str, ...] | None = None  # what told of the newest

    def newest(self) -> Edition:
        """Raises CollectionNotFoundError where the collection is gone, or another one lies in its place."""
        with self._lock:
            return self._refreshed()

    def of(self, generation: int) -> Edition:
        """Raises ExpiredPageError where that is not the newest, nor one that is kept."""
        with self._lock:
            newest = self._refreshed()
            kept = [newest] if self._earlier is None else [newest, self._earlier[1]]
        for edition in kept:
            if edition.reader.generation == generation:
                return edition
        raise expired(generation, newest.reader.generation)

    def index(self, edition: Edition, space: SpaceInfo) -> VectorIndex:
        """The index of a space, made from that of another generation where there is one.

        Raises CorruptCollectionError, MissingExtraError, StaleGenerationError.
        """
        with self._lock:
            index = edition.indexes.get(space.space_id)
            if index is None:
                reader = edition.reader
                like = edition.before.pop(space.space_id, None)
                segments, snapshot = reader.segments(space.space_id), self._snapshot(edition, space)
                if self._placement is None and self._kind == "faiss":
                    self._placement = placement_on(self._device)
                index = open_index(
                    self._kind,
                    segments,
                    space.dim,
                    like=like,
                    snapshot=snapshot,
                    placement=self._placement,
                )
                missing = reader.current.images - len(index) - reader.silent(space.space_id)
                if missing:
                    raise CorruptCollectionError(
                        f"{missing} images have no vector of {space.encoder}",
                        hint=f"imseek collection repair {self._root}",
                    )
                edition.indexes[space.space_id] = index
                if self._earlier is not None and edition is self._newest:
                    theirs = self._earlier[1].indexes.get(space.space_id)
                    if theirs is not None and _own_bytes(theirs, index) > OWN:
                        self._earlier = None
            return index

    def _snapshot(self, edition: Edition, space: SpaceInfo) -> Snapshot | None:
        """None where there is none, or it is damaged: it is derived, and all that it finds is in the vectors too.

        Raises StaleGenerationError where it is gone, and there is a newer generation.
        """
        try:
            return edition.reader.snapshot(space.space_id)
        except StaleGenerationError:
            if read_current(self._root).generation != edition.reader.generation:
                raise
        except CorruptCollectionError:
            pass
        except UntrustedCollectionError as error:
            edition.notes[space.space_id] = f"all vectors were read, since {error} ({error.hint})"
            return None
        edition.notes[space.space_id] = (
            f"the vector index of {space.encoder} is damaged, and all vectors were read instead: "
            f"`imseek maintain --index {policy_of(self._root).kind}` builds it again"
        )
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Why vectors are not searched where the user wants it."""
        note = None if self._placement is None else self._placement.note
        return () if note is None else (note,)

    def renew(self) -> int:
        """Forget what is open, since files of it are gone; returns the newest generation."""
        with self._lock:
            reader = Reader(self._root)
            self._check(reader.identity.uuid)
            self._newest, self._earlier, self._seen = Edition(reader), None, None
            return self._newest.reader.generation

    def close(self) -> None:
        with self._lock:
            self._earlier = None
            self._newest.indexes.clear()
            self._newest.reader.close()

    def _refreshed(self) -> Edition:
        """The lock must be held."""
        held, seen = self._newest, look(self._root)
        is_new = seen is None or seen != self._seen
        current = read_current(self._root) if is_new else held.reader.current
        self._check(current.uuid)
        if current.generation != held.reader.generation:
            reader = held.reader.renewed()
            in_use = {space.space_id for space in reader.current.spaces}
            before = {**held.before, **held.indexes}
            self._newest = Edition(reader, before={i: index for i, index in before.items() if i in in_use})
            self._earlier = (time.monotonic(), held) if held.paged else None
        elif self._earlier is not None and time.monotonic() - self._earlier[0] > KEPT:
            self._earlier = None
        self._seen = seen
        return self._newest

    def _check(self, uuid: str) -> None:
        """Ids, generations and names of files mean something else in another collection."""
        if uuid != self._newest.reader.identity.uuid:
            raise CollectionNotFoundError(
                f"another collection has taken the place of the one that was opened at {self._root}",
                hint="open it again",
            )


def _own_bytes(index: VectorIndex, other: VectorIndex) -> int:
    """What the vectors of an index take that another one does not have."""
    shared = {id(segment.rows) for segment in other.segments}
    return sum(segment.rows.nbytes for segment in index.segments if id(segment.rows) not in shared)


def expired(generation: int, newest: int) -> ExpiredPageError:
    return ExpiredPageError(
        f"the page token is of generation {generation}, and the collection is at {newest}",
        hint="ask for the first page again",
    )
