"""The FAISS index: an exact scan of the float16 rows, proved to return the exact top k.

The bytes of a shard are the codes of FAISS's fp16 scalar quantizer, so an index is built by copying them.
FAISS ranks by the raw dot product r = q·x, while a score divides by the norm |x|, and both round. So more
rows than k are fetched and scored exactly, and the answer stands only if no row left out can reach the k-th
score.

A float32 dot product of width n, summed in any order, is off by at most g·|q||x|, with g = n·2⁻²⁴ to first
order (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, §3.1). So r/|x| and the score differ by
at most 3g: g for FAISS's product, g for ours, and less than g for norms, which are rounded too. This bounds
the scores of what was fetched, so that only those near the top need scoring, and of what was left out: its r
is no larger than the last one fetched, and lo <= |x| <= hi within a segment. Where that bound is not strictly
below the k-th score, more rows are fetched, in the end all of them: ties at the border are never cut in the
wrong place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Float16, Ids, Matches, Segment
from imseek.data.vectors.exact import ExactIndex, Part, Scope, all_norms
from imseek.data.vectors.fp16 import flat, lent
from imseek.data.vectors.scores import blocks, cosines, scores_of, top_k
from imseek.types import Float32

# FAISS scans fp16 codes with vector instructions only where the width is a multiple of 8, best of 16, else
# one number at a time (14 times slower at width 1395). So rows are padded with zeros.
WIDTH_MULTIPLE = 16
# From this many queries on, decoding the rows once and multiplying matrices beats a scan per query.
BATCH = 64
# Queries whose candidates are held at the same time.
QUERY_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _FlatPart(Part):
    """A segment with its FAISS index, and the range ``lo`` to ``hi`` of the norms of its rows.

    ``codes`` is a view (n, dim) of the rows as FAISS holds them, in memory that ``flat`` owns: they are in RAM,
    while a memory map may have to be read again.
    """

    flat: Any
    codes: Float16
    lo: float
    hi: float

    def cosines(self, query: Float32, at: Ids) -> Float32:
        """Exact scores of the rows ``at`` (m,)."""
        scores = np.empty(len(at), np.float32)
        for block in blocks(len(at), len(query)):
            # Not FAISS's reconstruct_batch: for few rows, waking its threads costs more than the work.
            rows = self.codes[at[block]].astype(np.float32)
            scores[block] = cosines(query, rows, self.norms_of(at[block]))
        return scores


class FaissIndex(ExactIndex[_FlatPart]):
    """An exact index over FAISS's flat fp16 scalar quantizer, one per segment.

    Memory: 2 bytes per dimension (rounded up to a multiple of 16) and 4 for the norm, per vector.
    """

    def _load(self, segment: Segment) -> _FlatPart:
        norms = all_norms(segment)
        width = -(-self.dim // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
        count = len(segment.rows)
        index = flat(width)
        codes = segment.rows
        if count:
            index.codes.resize(count * index.code_size)
            memory = faiss.rev_swig_ptr(index.codes.data(), count * index.code_size)
            codes = memory.view(np.float16).reshape(count, width)[:, : self.dim]
            codes[:] = segment.rows
            index.ntotal = count
        usual = norms[np.isfinite(norms) & (norms > 0)]  # a row of zeros has score and raw product 0
        lo, hi = (float(usual.min()), float(usual.max())) if usual.size else (1.0, 1.0)
        return _FlatPart(segment, norms, index, codes, lo, hi)

    @property
    def norm_range(self) -> tuple[float, float]:
        """Between which all norms lie; 1 and 1 where there is no row."""
        return min((p.lo for p in self._parts), default=1.0), max((p.hi for p in self._parts), default=1.0)

    def _best(self, queries: Float32, k: int, scopes: Sequence[Scope[_FlatPart]]) -> list[Matches]:
        return _proved(queries, k, scopes)


class LentIndex(FaissIndex):
    """The same over the very bytes of the rows, which are memory maps: nothing is copied, or read before a search.

    All norms of live rows must lie in ``norm_range``. Memory: what the system keeps of the files that were read.
    """

    def __init__(self, segments: Sequence[Segment], dim: int, norm_range: tuple[float, float]) -> None:
        self._range = norm_range
        super().__init__(segments, dim)

    def _load(self, segment: Segment) -> _FlatPart:
        return _FlatPart(segment, None, lent(segment.rows), segment.rows, *self._range)


def best_of(query: Float32, segment: Segment, k: int, norm_range: tuple[float, float]) -> Matches:
    """The exact top ``k`` of a handful of rows, all of them live, for one unit query (dim,)."""
    part = _FlatPart(segment, None, lent(segment.rows), segment.rows, *norm_range)
    count = len(segment.ids)
    scope = Scope(part, np.ones(count, np.bool_), count)
    return _proved(query[np.newaxis], min(k, count), [scope])[0]


def _proved(queries: Float32, k: int, scopes: Sequence[Scope[_FlatPart]]) -> list[Matches]:
    """The exact top ``k`` of each query; the scopes hold at least ``k`` > 0 rows together."""
    first = k + k // 32 + 32
    best: list[Matches] = []
    for start in range(0, len(queries), QUERY_BLOCK):
        block = queries[start : start + QUERY_BLOCK]
        for query, matches in zip(block, _top(block, k, first, scopes), strict=True):
            fetch = first
            while matches is None:
                fetch *= 8
                (matches,) = _top(query[np.newaxis], k, fetch, scopes)
            best.append(matches)
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Candidates of one part for q queries.

    ``at`` (q, m) are row numbers, ``scores`` (q, m) theirs to within :func:`_error`, and no row of the part
    that was not drawn has an exact score above ``ceilings`` (q,).
    """

    part: _FlatPart
    at: Ids
    scores: Float32
    ceilings: npt.NDArray[np.float64]


def _error(width: int) -> float:
    """How far r/|x| may be off the exact score: 3g, and one more for terms of second order."""
    return 4 * width * 2.0**-24


def _top(queries: Float32, k: int, fetch: int, scopes: Sequence[Scope[_FlatPart]]) -> list[Matches | None]:
    """The top ``k`` of each query from ``fetch`` candidates of each scope; None where that is not proved."""
    drawn = [_draw(queries, min(fetch, scope.count), scope) for scope in scopes]
    scores = np.concatenate([candidates.scores for candidates in drawn], axis=1)
    # Below this no candidate is among the best: the k-th may be one error too high, another one too low.
    enough = np.partition(scores, -k, axis=1)[:, -k] - 2 * _error(drawn[0].part.flat.d)
    ceilings = np.max([candidates.ceilings for candidates in drawn], axis=0)
    top: list[Matches | None] = []
    for i, query in enumerate(queries):
        ids, exact = [], []
        for candidates in drawn:
            at = candidates.at[i][candidates.scores[i] >= enough[i]]
            if at.size:
                ids.append(candidates.part.segment.ids[at])
                exact.append(candidates.part.cosines(query, at))
        matches = top_k(np.concatenate(ids), np.concatenate(exact), k)
        top.append(matches if ceilings[i] < matches.scores[-1] else None)
    return top


def _draw(queries: Float32, fetch: int, scope: Scope[_FlatPart]) -> _Drawn:
    """The ``fetch`` rows of a scope that FAISS ranks first."""
    part = scope.part
    padded = np.zeros((len(queries), part.flat.d), np.float32)
    padded[:, : queries.shape[1]] = queries
    raw, at = (_multiply if len(queries) >= BATCH else _scan)(padded, fetch, scope)
    ceilings = np.full(len(queries), -np.inf)
    if fetch < scope.count:
        last = raw[:, -1].astype(np.float64)
        ceilings = last / np.where(last > 0, part.lo, part.hi) + _error(part.flat.d)
    return _Drawn(part, at, scores_of(raw, part.norms_of(at)), ceilings)


def _scan(queries: Float32, fetch: int, scope: Scope[_FlatPart]) -> tuple[Float32, Ids]:
    """Raw products, descending, and row numbers, both (q, fetch): a scan of the codes per query."""
    raw: Float32
    at: Ids
    if scope.count == len(scope.mask):
        raw, at = scope.part.flat.search(queries, fetch)
    else:
        bitmap = np.packbits(scope.mask, bitorder="little")
        # FAISS keeps pointers only: bitmap, selector and params must outlive the search.
        selector = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        params = faiss.SearchParameters()
        params.sel = selector
        raw, at = scope.part.flat.search(queries, fetch, params=params)
    return raw, at


def _multiply(queries: Float32, fetch: int, scope: Scope[_FlatPart]) -> tuple[Float32, Ids]:
    """The same, by decoding the rows once, a block at a time, and matrix products with all queries."""
    flat = scope.part.flat
    heap = faiss.ResultHeap(len(queries), fetch, keep_max=True)
    for block in blocks(len(scope.mask), flat.d, elements=1 << 22):
        at = np.flatnonzero(scope.mask[block])
        if at.size:
            rows = flat.reconstruct_n(block.start, block.stop - block.start)[at]
            raw, nearest = faiss.knn(queries, rows, min(fetch, at.size), metric=faiss.METRIC_INNER_PRODUCT)
            heap.add_result(raw, block.start + at[nearest])
    heap.finalize()
    return heap.D, heap.I
