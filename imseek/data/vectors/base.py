"""The input, the output and the interface of every kind of vector index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from imseek.errors import CorruptCollectionError
from imseek.types.arrays import Float32
from imseek.types.arrays import Ids as Ids
from imseek.unique_numbers import unique_numbers

Bools: TypeAlias = npt.NDArray[np.bool_]
Float16: TypeAlias = npt.NDArray[np.float16]


class IdSet:
    """A set of image ids, used as a filter. Its lookup table is built once and reused by every search.

    ``ids`` is int64 (n,), ascending, without duplicates.
    """

    __slots__ = ("__weakref__", "_mask", "ids")

    def __init__(self, ids: npt.ArrayLike) -> None:
        self.ids: Ids = unique_numbers(np.asarray(ids, np.int64))
        self._mask: Bools | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def marks(self, ids: Ids) -> Bools:
        """Return (m,): which of ``ids``, in any order, are in the set."""
        mask = self._dense()
        if mask is None:
            if not len(self.ids):
                return np.zeros(len(ids), np.bool_)
            positions = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            is_member: Bools = self.ids[positions] == ids
            return is_member
        is_inside = (ids >= 0) & (ids < len(mask))
        is_member = np.zeros(len(ids), np.bool_)
        is_member[is_inside] = mask[ids[is_inside]]
        return is_member

    def _dense(self) -> Bools | None:
        """Return a mask (last id + 1,), True at each id; None where it would be far larger than the ids themselves."""
        if self._mask is None and len(self.ids) and self.ids[0] >= 0 and self.ids[-1] < 64 * len(self.ids):
            mask = np.zeros(int(self.ids[-1]) + 1, np.bool_)
            mask[self.ids] = True
            self._mask = mask
        return self._mask


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """The vectors of one shard, as stored on disk.

    ``ids`` is int64 (n,), strictly ascending; ``rows`` is float16 (n, dim), C-contiguous, often a read-only memory map:
    unit vectors rounded to float16, or zeros; ``dead`` has the numbers of rows that are no longer live, in any integer
    type and order.

    Raises CorruptCollectionError where the three do not fit together.
    """

    ids: Ids
    rows: Float16
    dead: npt.NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        if self.rows.dtype != np.float16 or self.rows.ndim != 2 or not self.rows.flags.c_contiguous:
            raise CorruptCollectionError("vectors are not a C-contiguous float16 matrix")
        if self.ids.dtype != np.int64 or self.ids.shape != self.rows.shape[:1]:
            raise CorruptCollectionError(f"{len(self.rows)} vectors, but ids of shape {self.ids.shape}")
        if not (self.ids[1:] > self.ids[:-1]).all():
            raise CorruptCollectionError("image ids of a shard do not ascend")
        if not np.issubdtype(self.dead.dtype, np.integer) or self.dead.ndim != 1:
            raise CorruptCollectionError("dead rows are not a list of row numbers")
        if self.dead.size and not (self.dead.min() >= 0 and self.dead.max() < len(self.rows)):
            raise CorruptCollectionError(f"a dead row lies outside a shard of {len(self.rows)} rows")

    def searchable(self, allowed: IdSet | None = None) -> Bools:
        """Return (n,): the rows that are live and whose id is in ``allowed`` (None allows every id)."""
        mask = np.ones(len(self.ids), np.bool_) if allowed is None else allowed.marks(self.ids)
        mask[self.dead] = False
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The answer to one query: ``ids`` int64 (m,) and ``scores`` float32 (m,), best first.

    Never padded: m is smaller than k where fewer rows were found. Scores are exact (see
    :mod:`imseek.data.vectors.scores`); equal scores are in ascending order of id.
    """

    ids: Ids
    scores: Float32

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class VectorIndex(Protocol):
    """Finds nearest neighbours by cosine among the live rows of some segments.

    An index never changes, so any number of threads may search it. A new generation of a collection gets a new index
    from :func:`imseek.data.vectors.open_index`, which reuses what the old one has for the same rows. A live id occurs
    once among all segments: the catalog ensures that, an index does not check it.

    There is no ``save``: exact kinds are built straight from the bytes of the shards, and an approximate one from a
    snapshot on disk (:mod:`imseek.data.vectors.faiss_snapshot`), which :mod:`imseek.data.vectors.index_renewal`
    builds.
    """

    @property
    def dim(self) -> int: ...

    @property
    def segments(self) -> tuple[Segment, ...]: ...

    def __len__(self) -> int:
        """The number of live rows."""
        ...

    @property
    def exact(self) -> bool:
        """Whether every answer is exact, whatever the arguments."""
        ...

    def count(self, allowed: IdSet) -> int:
        """Return how many live rows have an allowed id. Counted once for each set."""
        ...

    def search(
        self,
        queries: Float32,
        k: int,
        *,
        allowed: IdSet | Ids | None = None,
        text: bool = False,
        exact: bool = False,
    ) -> list[Matches]:
        """Return the ``k`` best rows for each of ``queries``, (q, dim) float32 of norm 1, in the order of queries.

        ``allowed`` restricts answers to these image ids, in any order; ids that the index lacks are ignored, and an
        empty array allows nothing. An :class:`IdSet` is faster if it is used again.

        An approximate kind finds the best rows with the recall measured for it on queries by image or (``text``) by
        text, which are harder; with ``exact`` it misses none, but takes longer. Parameters travel with the call, and
        nothing shared changes.

        Raises QueryError for queries of another width, with NaN or infinity, or not of norm 1, and for k < 1.
        """
        ...
