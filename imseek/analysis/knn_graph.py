"""All-pairs k-nearest neighbours, in half the time of one exact search per row.

The product of two blocks of rows serves both blocks, so each pair of rows is multiplied once. Products propose slightly
more candidates than requested. The final order comes from sums along rows, which are independent of the blocking and
equal in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors.base import Bools, Ids
from imseek.types.arrays import Float32

#: Rows per side of a block: its products take 16 MiB.
_BLOCK: Final = 2048
#: Extra candidates per row. Rounding of the products moves no image farther than that, unless more are practically
#: equal.
_SPARE: Final = 2

#: Positions (n, k), -1 for none, and cosines (n, k), -1 for none; nearest first.
Nearest = tuple[Ids, Float32]


def knn_within(vectors: Vectors, count: int, on_progress: Callable[[int], None]) -> Nearest:
    """Find the ``count`` nearest other images of each image of a set.

    Ties are broken by the lower position. A row of zeros has no neighbours. ``on_progress`` receives the number of rows
    that have been compared with all others, and may raise. Memory: 12 · (count + 2) bytes for each image, plus 100 MB.
    """
    n, best = len(vectors), _TopK(len(vectors), count + _SPARE)
    for start in range(0, n, _BLOCK):
        rows = vectors.at(np.arange(start, min(start + _BLOCK, n)))
        for other in range(0, start + 1, _BLOCK):
            theirs = rows if other == start else vectors.at(np.arange(other, other + _BLOCK))
            products = rows @ theirs.T
            if other == start:
                np.fill_diagonal(products, -np.inf)
            else:
                best.add(other, start, products.T)
            best.add(start, other, products)
        # The share of all pairs that lie below this row, as a number of rows.
        on_progress((start + len(rows)) ** 2 // n)
    return best.rank_exactly(vectors, vectors, count)


def knn_between(a: Vectors, b: Vectors, count: int, on_progress: Callable[[int], None]) -> tuple[Nearest, Nearest]:
    """Find the ``count`` nearest images of ``b`` for each image of ``a``, and the reverse; otherwise like
    :func:`knn_within`.

    ``on_progress`` receives the number of rows of ``a`` that have been compared with all of ``b``.
    """
    of_a, of_b = _TopK(len(a), count + _SPARE), _TopK(len(b), count + _SPARE)
    for start in range(0, len(a), _BLOCK):
        rows = a.at(np.arange(start, min(start + _BLOCK, len(a))))
        for other in range(0, len(b), _BLOCK):
            products = rows @ b.at(np.arange(other, min(other + _BLOCK, len(b)))).T
            of_a.add(start, other, products)
            of_b.add(other, start, products.T)
        on_progress(start + len(rows))
    return of_a.rank_exactly(a, b, count), of_b.rank_exactly(b, a, count)


class _TopK:
    """The ``k`` best candidates seen so far for each of n rows, unordered."""

    def __init__(self, n: int, k: int) -> None:
        self._k = k
        self._at, self._products = np.full((n, k), -1, np.int64), np.full((n, k), -np.inf, np.float32)
        self._least = np.full(n, -np.inf, np.float32)

    def add(self, start: int, other: int, products: Float32) -> None:
        """Add candidates: ``products`` (r, c) of the rows from ``start`` with those from ``other``."""
        r, k = len(products), self._k
        better = products > self._least[start : start + r, np.newaxis]
        if 8 * np.count_nonzero(better) > better.size:
            row, column = self._most(products, np.arange(r))
        else:
            row, column = _find_true(better)
            many = np.bincount(row, minlength=r) > k
            if many.any():
                few = ~many[row]
                best = self._most(products, np.flatnonzero(many))
                row, column = (np.concatenate([one[few], two]) for one, two in zip((row, column), best, strict=True))
        if not len(row):
            return
        order = np.argsort(row, kind="stable")
        row, column = row[order], column[order]
        updated, at = np.unique(row, return_inverse=True)
        width = k + int(np.bincount(at).max())
        place = k + np.arange(len(row)) - np.searchsorted(row, updated)[at]
        positions = np.full((len(updated), width), -1, np.int64)
        scores = np.full((len(updated), width), -np.inf, np.float32)
        positions[:, :k], scores[:, :k] = self._at[start + updated], self._products[start + updated]
        positions[at, place], scores[at, place] = other + column, products[row, column]
        order = np.argpartition(scores, width - k, axis=1)[:, width - k :]
        self._at[start + updated] = np.take_along_axis(positions, order, axis=1)
        kept_scores = np.take_along_axis(scores, order, axis=1)
        self._products[start + updated], self._least[start + updated] = kept_scores, kept_scores.min(axis=1)

    def _most(self, products: Float32, row: Ids) -> tuple[Ids, Ids]:
        """Return the best k entries (or all) of some rows of ``products``, as row and column numbers."""
        part, k = products[row], min(self._k, products.shape[1])
        best = np.argpartition(part, -k, axis=1)[:, -k:]
        is_valid = np.take_along_axis(part, best, axis=1) > -np.inf
        return np.repeat(row, is_valid.sum(axis=1)), best[is_valid]

    def rank_exactly(self, mine: Vectors, theirs: Vectors, count: int) -> Nearest:
        """Rank the candidates by sums along rows and return the best ``count``."""
        at = np.full((len(mine), count), -1, np.int64)
        cosines = np.full((len(mine), count), -1, np.float32)
        for start in range(0, len(mine), _BLOCK):
            part = slice(start, min(start + _BLOCK, len(mine)))
            rows, candidates = mine.at(np.arange(part.start, part.stop)), self._at[part]
            scores = np.full(candidates.shape, -np.inf, np.float32)
            for column in range(candidates.shape[1]):
                valid = np.flatnonzero(candidates[:, column] >= 0)
                other = theirs.at(candidates[valid, column])
                sums = np.clip((rows[valid] * other).sum(axis=1), -1, 1)
                scores[valid, column] = np.where(rows[valid].any(axis=1), sums, -np.inf)
            order = np.lexsort((candidates, -scores), axis=1)[:, :count]
            best = np.take_along_axis(scores, order, axis=1)
            is_found = best > -np.inf
            at[part, : order.shape[1]] = np.where(is_found, np.take_along_axis(candidates, order, axis=1), -1)
            cosines[part, : order.shape[1]] = np.where(is_found, best, -1)
        return at, cosines


def _find_true(flags: Bools) -> tuple[Ids, Ids]:
    """Return rows and columns of the true cells of a sparse matrix, unordered, by testing eight bytes at a time."""
    if not flags.flags.c_contiguous:
        column, row = _find_true(np.ascontiguousarray(flags.T))
        return row, column
    flat = flags.reshape(-1)
    aligned = len(flat) // 8 * 8
    words = np.flatnonzero(flat[:aligned].view(np.uint64))
    word, byte = np.nonzero(flat[:aligned].reshape(-1, 8)[words])
    at = np.concatenate([8 * words[word] + byte, aligned + np.flatnonzero(flat[aligned:])])
    row, column = np.divmod(at, max(1, flags.shape[1]))
    return row, column
