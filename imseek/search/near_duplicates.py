"""Find near-duplicates among hits, so that one can represent all hits that show the same picture.

Two signals are combined, because each misses what the other detects. Vectors are close when pictures mean the same,
which includes different photographs of one object, or mirrored letters. Perceptual hashes (64-bit DCT) are close when
pictures look the same at 32 × 32, but a crop or a frame changes them. So the stronger one signal is, the weaker the
other may be. The thresholds were tuned on half A of the stamps of bench/near_duplicates.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.search.candidate_set import CandidateSet, StageContext
from imseek.search.query import Query
from imseek.types.arrays import Float32

Positions = npt.NDArray[np.int64]

#: Pairs of minimum cosine and maximum number of differing hash bits (of 64) for the same picture.
DUPLICATE_THRESHOLDS: Final = ((0.80, 10), (0.90, 16))
#: Minimum cosine for the same picture if a hash is missing.
SAME_COSINE: Final = 0.99


def collapse_duplicates(candidates: CandidateSet, query: Query, context: StageContext) -> CandidateSet:
    """Keep the best of all candidates that show the same picture, which records the others."""
    representatives = find_representatives(context.vectors(candidates), context.hashes(candidates))
    others: dict[int, list[int]] = {}
    for position, first in enumerate(representatives.tolist()):
        if first != position:
            others.setdefault(first, []).append(int(candidates.ids[position]))
    positions = np.flatnonzero(representatives == np.arange(len(candidates)))
    return replace(candidates.take(positions), others=tuple(tuple(others.get(i, ())) for i in positions.tolist()))


def find_representatives(vectors: Float32, hashes: npt.NDArray[np.uint64]) -> Positions:
    """Return for each of m hits, best first, the position (m,) int64 of its representative: its own if it has no other.

    ``vectors`` is (m, dim) unit rows; ``hashes`` (m,), 0 for unknown. A hit is represented by the best hit that
    represents itself and is a near-duplicate of it, so chains of small differences do not merge. Takes 4 · m² bytes
    of memory.
    """
    count = len(vectors)
    representatives = np.arange(count, dtype=np.int64)
    first = np.zeros(count, np.bool_)  # hits that represent themselves
    cosines = vectors @ vectors.T
    for n in range(count):
        before = np.flatnonzero(first[:n])
        similar = before[same_picture(cosines[n, before], hashes[before], hashes[n])]
        first[n] = not similar.size
        if similar.size:
            representatives[n] = similar[0]
    return representatives


def same_picture(cosines: Float32, hashes: npt.NDArray[np.uint64], reference: np.uint64) -> npt.NDArray[np.bool_]:
    """Return (m,) bool: whether each picture shows the same as a reference with hash ``reference``.

    ``hashes`` (m,) are the pictures' hashes, ``cosines`` (m,) their cosines to the reference.
    """
    has_hashes = (hashes != 0) & (reference != 0)
    apart = hamming(hashes, reference)
    same: npt.NDArray[np.bool_] = ~has_hashes & (cosines >= SAME_COSINE)
    for least, most in DUPLICATE_THRESHOLDS:
        same |= has_hashes & (cosines >= least) & (apart <= most)
    return same


def hamming(hashes: npt.NDArray[np.uint64], reference: np.uint64 | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the number of bits (m,) uint8 in which ``hashes`` (m,) differ from ``reference``, a number or (m,)."""
    return count_bits(hashes ^ reference)


def count_bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the number of set bits of each word: uint8, of the same shape."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        counts: npt.NDArray[np.uint8] = np.bitwise_count(words)
        return counts
    parts = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
    sums: npt.NDArray[np.uint8] = _bit_counts()[parts].sum(axis=-1, dtype=np.uint8)
    return sums


@cache
def _bit_counts() -> npt.NDArray[np.uint8]:
    """Return the number of set bits of every 16-bit number."""
    return np.array([n.bit_count() for n in range(1 << 16)], np.uint8)
