"""Near-duplicates: which hits show the same picture, so that one can stand for all.

Two signs, since each is blind where the other sees. Vectors of one encoder tell that two pictures mean the same, which
very high cosines turn into "are the same". A perceptual hash (64-bit DCT) tells that two pictures look the same at
32 × 32; pictures with little in them (drawings on white) share hashes by chance, so that the vectors have to agree.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.types import Float32

Positions = npt.NDArray[np.int64]

#: The same picture by its vector alone.
SAME: Final = 0.98
#: The same picture if the hashes differ in at most ``BITS`` of 64 bits too.
ALIKE: Final = 0.90
BITS: Final = 6

_ONES: Final = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def stand_ins(
    vectors: Float32,
    hashes: npt.NDArray[np.uint64],
    *,
    same: float = SAME,
    alike: float = ALIKE,
    bits: int = BITS,
) -> Positions:
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
        near = cosines[n, before] >= same
        if hashes[n]:
            close = (hashes[before] != 0) & (hamming(hashes[before], hashes[n]) <= bits)
            near |= close & (cosines[n, before] >= alike)
        found = before[near]
        first[n] = not found.size
        if found.size:
            stands[n] = found[0]
    return stands


def hamming(hashes: npt.NDArray[np.uint64], one: np.uint64) -> npt.NDArray[np.int64]:
    """In how many bits each of ``hashes`` (m,) differs from ``one``: (m,) int64."""
    differing = np.ascontiguousarray(hashes ^ one).view(np.uint8).reshape(len(hashes), 8)
    counted: npt.NDArray[np.int64] = _ONES[differing].sum(axis=1, dtype=np.int64)
    return counted
