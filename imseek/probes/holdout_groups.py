"""Groups of images that must be held out together: equal contents and near-duplicates.

A copy in the other part would leak the answer. Near-duplicates are defined by :mod:`imseek.search.near_duplicates`; the
relation is extended transitively.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.search.near_duplicates import DUPLICATE_THRESHOLDS, SAME_COSINE, same_picture
from imseek.types.arrays import Float32

#: Up to this many images all pairs are compared; beyond it, only equal contents are grouped.
MAX_PAIRWISE: Final = 20_000
_BLOCK: Final = 512
#: Minimum cosine of near-duplicates.
_MIN_COSINE: Final = min(SAME_COSINE, *(least for least, _ in DUPLICATE_THRESHOLDS))

UInt64 = npt.NDArray[np.uint64]


def hashes_of(reader: Reader, ids: Ids) -> tuple[list[bytes], UInt64]:
    """Return sha256 and perceptual hash (0: unknown) of images."""
    rows = reader.intrinsics(ids.tolist(), ["content_hash", "phash"])
    contents = [rows.get(i, {}).get("content_hash", bytes(32)) for i in ids.tolist()]
    return contents, np.array([rows.get(i, {}).get("phash") or 0 for i in ids.tolist()], np.uint64)


def group_copies(contents: list[bytes], hashes: UInt64, rows: Float32) -> Ids:
    """Group n images by contents, hashes (n,) and unit rows (n, dim) → (n,) int64 group numbers, from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(contents)
    _, first, number = np.unique(np.array(contents, object), return_index=True, return_inverse=True)
    first_ends = [np.arange(n)]
    second_ends = [first[number]]
    if n <= MAX_PAIRWISE:
        for start in range(0, n, _BLOCK):
            cosines = rows[start : start + _BLOCK] @ rows[start:].T
            for at in range(len(cosines)):
                neighbours = np.flatnonzero(cosines[at] >= _MIN_COSINE)
                neighbours = neighbours[neighbours > at]
                same = neighbours[same_picture(cosines[at, neighbours], hashes[start + neighbours], hashes[start + at])]
                first_ends.append(np.full(len(same), start + at))
                second_ends.append(start + same)
    a, b = np.concatenate(first_ends), np.concatenate(second_ends)
    _, labels = connected_components(coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n)), directed=False)
    group_numbers: Ids = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return group_numbers


def find_copies(
    known: tuple[list[bytes], UInt64, Float32], others: tuple[list[bytes], UInt64, Float32]
) -> npt.NDArray[np.bool_]:
    """Return which of the ``others`` images (m,) equal a known one, or are near-duplicates of one."""
    contents, hashes, rows = known
    known_contents = set(contents)
    is_copy = np.array([content in known_contents for content in others[0]], np.bool_)
    for start in range(0, len(is_copy), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = others[2][part] @ rows.T
        for at in np.flatnonzero(~is_copy[part] & (cosines.max(axis=1, initial=-1) >= _MIN_COSINE)).tolist():
            neighbours = np.flatnonzero(cosines[at] >= _MIN_COSINE)
            same = same_picture(cosines[at, neighbours], hashes[neighbours], others[1][start + at])
            is_copy[start + at] = bool(same.any())
    return is_copy
