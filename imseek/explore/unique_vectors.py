"""Which images differ: copies of a picture share their vector, and must not count as its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.snapshot_progress import Telling
from imseek.data.vectors.base import Ids
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32

PHASE: Final = "reading vectors"
#: Rows whose bits are looked at at the same time.
_HASHED: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """``first`` (m,) int64, ascending: positions among the vectors, of each different one the first, rows of zeros
    left out. ``group`` (n,) int64: at which place of ``first`` the vector of each image is, -1 for a row of zeros."""

    first: Ids
    group: Ids

    def copies(self) -> Ids:
        """(m,): how many more images have each vector."""
        return np.bincount(self.group[self.group >= 0], minlength=len(self.first)) - 1


def distinct(vectors: Vectors, telling: Telling) -> Distinct:
    """Reads all vectors once. Memory: 32 bytes for each image.

    Vectors are told apart by a 64-bit hash: of a million, two that differ are taken for one with a probability of
    3 · 10⁻⁸. Raises CorruptCollectionError for a vector that is not finite, InterruptedError.
    """
    empty = np.zeros(len(vectors), np.bool_)
    hashes = np.zeros(len(vectors), np.uint64)
    for part, rows in vectors.blocks():
        telling.tell(PHASE, part.stop, len(vectors))
        empty[part] = ~rows.any(axis=1)
        hashes[part] = marks(rows)
    order = np.flatnonzero(~empty)
    _, first, inverse = np.unique(hashes[order], return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[by_first] = np.arange(len(first))
    group = np.full(len(vectors), -1, np.int64)
    group[order] = rank[inverse]
    return Distinct(order[first[by_first]], group)


def marks(rows: Float32) -> npt.NDArray[np.uint64]:
    """(n,): 64-bit hashes of rows (n, dim). Rows that are equal have the same."""
    factors = np.random.default_rng(8).integers(0, 1 << 63, rows.shape[1], np.uint64)
    factors = factors * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _HASHED):
        bits = (
            (rows[start : start + _HASHED] + np.float32(0)).view(np.uint32).astype(np.uint64)
        )  # -0 becomes 0
        # The low bits of floats are often 0: mixed, so that all bits of a sum depend on all bits of all of them.
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(29)
        hashes[start : start + _HASHED] = bits @ factors
    return hashes
