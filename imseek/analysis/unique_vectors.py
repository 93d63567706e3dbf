"""Unique vectors: copies of an image share a vector and must not count as its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors.base import Ids
from imseek.progress import Task
from imseek.types.arrays import Float32

PHASE: Final = "reading vectors"
#: Rows hashed at once.
_HASH_BATCH: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class UniqueVectors:
    """Unique vectors of a set of images.

    ``first`` (m,) int64, ascending, are the positions of the first image with each vector, without rows of zeros.
    ``group`` (n,) int64 is the index into ``first`` of each image's vector, -1 for a row of zeros.
    """

    first: Ids
    group: Ids

    def copies(self) -> Ids:
        """Number of further images with each vector (m,)."""
        return np.bincount(self.group[self.group >= 0], minlength=len(self.first)) - 1


def find_unique_vectors(vectors: Vectors, task: Task) -> UniqueVectors:
    """Find the unique vectors in one pass. Memory: 32 bytes for each image.

    Vectors are compared by a 64-bit hash: among a million, the probability that two different ones are confused is 3 ·
    10⁻⁸. Raises CorruptCollectionError for a vector that is not finite, Cancelled.
    """
    empty = np.zeros(len(vectors), np.bool_)
    hashes = np.zeros(len(vectors), np.uint64)
    for part, rows in vectors.blocks():
        task.step(PHASE, part.stop, len(vectors))
        empty[part] = ~rows.any(axis=1)
        hashes[part] = hash_rows(rows)
    order = np.flatnonzero(~empty)
    _, first, inverse = np.unique(hashes[order], return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[by_first] = np.arange(len(first))
    group = np.full(len(vectors), -1, np.int64)
    group[order] = rank[inverse]
    return UniqueVectors(order[first[by_first]], group)


def hash_rows(rows: Float32) -> npt.NDArray[np.uint64]:
    """Hash rows (n, dim) to 64 bits (n,); equal rows have equal hashes."""
    factors = np.random.default_rng(8).integers(0, 1 << 63, rows.shape[1], np.uint64)
    factors = factors * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _HASH_BATCH):
        bits = (rows[start : start + _HASH_BATCH] + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0 becomes 0
        # The low bits of floats are often 0. Mix them, so that all bits of the sum depend on all input bits.
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(29)
        hashes[start : start + _HASH_BATCH] = bits @ factors
    return hashes
