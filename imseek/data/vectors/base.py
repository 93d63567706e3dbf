"""What a vector index holds, what it answers, and what every kind of index can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from imseek.errors import CorruptCollectionError
from imseek.types import Float32

Bools: TypeAlias = npt.NDArray[np.bool_]
Float16: TypeAlias = npt.NDArray[np.float16]
Ids: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """The vectors of one shard, as they lie on disk.

    ``ids`` is int64 (n,), strictly ascending; ``rows`` is float16 (n, dim), C-contiguous, often a read-only
    memory map: unit vectors rounded to float16, or zeros; ``dead`` holds the row numbers that are no longer
    live, in any integer type and order.

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

    def searchable(self, allowed: Ids | None = None) -> Bools:
        """(n,): the rows that are live and whose id is in ``allowed`` (ascending; None allows every id)."""
        if allowed is None:
            mask = np.ones(len(self.ids), np.bool_)
        else:
            mask = np.zeros(len(self.ids), np.bool_)
            if len(self.ids):
                first, last = (
                    np.searchsorted(allowed, self.ids[0]),
                    np.searchsorted(allowed, self.ids[-1], "right"),
                )
                wanted = allowed[first:last]
                at = np.searchsorted(self.ids, wanted)
                mask[at[self.ids[at] == wanted]] = True
        mask[self.dead] = False
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The answer to one query: ``ids`` int64 (m,) and ``scores`` float32 (m,), best first.

    Never padded: m is smaller than the k asked for where fewer rows could be found. Scores are exact (see
    :mod:`imseek.data.vectors.scores`); equal scores come in ascending order of id.
    """

    ids: Ids
    scores: Float32

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class VectorIndex(Protocol):
    """Nearest neighbours by cosine among the live rows of some segments.

    An index never changes, so any number of threads may search it. A new generation of a collection gets a new
    index from :func:`imseek.data.vectors.open_index`, which takes over what the old one has of the same rows.
    A live id occurs once among all segments: the catalog sees to that, an index does not check it.

    There is no ``save``: the exact kinds are built straight from the bytes of the shards, so that a snapshot
    would only be a second copy. A kind that is costly to train writes its own to a path its caller makes
    durable.
    """

    @property
    def dim(self) -> int: ...

    @property
    def segments(self) -> tuple[Segment, ...]: ...

    def __len__(self) -> int:
        """How many rows are live."""
        ...

    def search(self, queries: Float32, k: int, *, allowed: Ids | None = None) -> list[Matches]:
        """The ``k`` best rows for each of ``queries``, (q, dim) float32 of norm 1, in the order of queries.

        ``allowed`` restricts the answer to these image ids, in any order; ids the index does not hold are
        passed over, and an empty array allows nothing. Parameters of an approximate kind (such as nprobe)
        belong here too, as a keyword with a default: they travel with the call, and nothing shared changes.

        Raises QueryError for queries of another width, with NaN or infinity, or not of norm 1, and for k < 1.
        """
        ...
