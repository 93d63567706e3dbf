"""Near-duplicates: which hits show the same picture, so that one can stand for all.

Two signs, since each is blind where the other sees. Vectors are near where two pictures mean the same, which two
photographs of one thing do, and letters that mirror each other. Perceptual hashes (64-bit DCT) are near where they look
the same at 32 × 32, but a crop or a frame shifts all of that. So the nearer one is, the less near the other has to be.
The numbers were chosen on half A of the stamps of bench/near_duplicates.py.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.types import Float32

Positions = npt.NDArray[np.int64]

#: The same picture: at least this cosine, and hashes that differ in at most so many of 64 bits.
ALIKE: Final = ((0.80, 10), (0.90, 16))
#: The same where a hash is missing.
SAME: Final = 0.99


def stand_ins(vectors: Float32, hashes: npt.NDArray[np.uint64]) -> Positions:
    """For each of m hits, best first, the position of the one that stands for it: (m,) int64; its own, if none does.

    ``vectors`` is (m, dim) unit rows; ``hashes`` (m,), where 0 says nothing. A hit is stood for by the best hit that is
    stood for by itself and near-duplicate to it, so that chains of ever so small differences do not join. Memory 4 · m²
    bytes.
    """
    count = len(vectors)
    stands = np.arange(count, dtype=np.int64)
    first = np.zeros(count, np.bool_)  # Those that stand for themselves.
    cosines = vectors @ vectors.T
    for n in range(count):
        before = np.flatnonzero(first[:n])
        found = before[same_picture(cosines[n, before], hashes[before], hashes[n])]
        first[n] = not found.size
        if found.size:
            stands[n] = found[0]
    return stands


def same_picture(cosines: Float32, hashes: npt.NDArray[np.uint64], one: np.uint64) -> npt.NDArray[np.bool_]:
    """(m,): which of the pictures with these hashes, and these cosines to another one of hash ``one``, are the same."""
    known = (hashes != 0) & (one != 0)
    apart = hamming(hashes, one)
    same: npt.NDArray[np.bool_] = ~known & (cosines >= SAME)
    for least, most in ALIKE:
        same |= known & (cosines >= least) & (apart <= most)
    return same


def hamming(hashes: npt.NDArray[np.uint64], one: np.uint64 | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """In how many bits each of ``hashes`` (m,) differs from ``one``, which may be (m,) too: (m,) uint8."""
    return count_bits(hashes ^ one)


def count_bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """How many bits of each are set: uint8, of the same shape."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        counted: npt.NDArray[np.uint8] = np.bitwise_count(words)
        return counted
    parts = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
    summed: npt.NDArray[np.uint8] = _ones()[parts].sum(axis=-1, dtype=np.uint8)
    return summed


@cache
def _ones() -> npt.NDArray[np.uint8]:
    """Of all numbers of 16 bits."""
    return np.array([n.bit_count() for n in range(1 << 16)], np.uint8)
