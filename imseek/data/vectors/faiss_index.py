"""The FAISS index: an exact scan of the float16 rows, proved to return the exact top k.

The bytes of a shard are the codes of FAISS's fp16 scalar quantizer, so an index is built by copying them. FAISS ranks
by the raw dot product r = q·x, while a score divides by the norm |x|, and both round. So more rows than k are fetched
and scored exactly, and the answer stands only if no row left out can reach the k-th score.

A float32 dot product of width n, summed in any order, is off by at most g·|q||x|, with g = n·2⁻²⁴ to first order
(Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, §3.1). So r/|x| and the score differ by at most 3g: g
for FAISS's product, g for ours, and less than g for norms, which are rounded too. This bounds the scores of fetched
rows, so that only those near the top need scoring, and of rows left out: their r is no larger than the last one
fetched, and lo <= |x| <= hi within a segment. Where that bound is not strictly below the k-th score, more rows are
fetched, in the end all of them: ties at the cut-off are never broken wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Float16, Ids, IdSet, Matches, Segment
from imseek.data.vectors.exact_index import ExactIndex, SearchScope, SegmentData, segment_norms
from imseek.data.vectors.faiss_threads import at_most_threads
from imseek.data.vectors.fp16_flat_index import make_flat_index, wrap_flat_index
from imseek.data.vectors.mmap_residency import release
from imseek.data.vectors.scores import blocks, cosines, largest, row_norms, top_k
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import Placement

#: Minimum bytes of codes that are worth a copy on a GPU.
MIN_GPU_BYTES = 8 << 20
# FAISS scans fp16 codes with SIMD only where the width is a multiple of 8 (16 is best), otherwise one number
# at a time (14 times slower at width 1395). So rows are padded with zeros.
WIDTH_MULTIPLE = 16
# From this many queries on, decoding the rows once and multiplying matrices is faster than a scan per query.
BATCH = 64
# Queries whose candidates are in memory at the same time.
QUERY_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _FlatSegment(SegmentData):
    """A segment with its FAISS index, and the range ``lo`` to ``hi`` of the norms of its rows.

    ``codes`` is a view (n, dim) of the rows in the memory of ``make_flat_index``: unlike a memory map, it is in RAM
    and need not be read again. ``finite`` says whether dead rows are finite too.
    """

    flat: Any
    codes: Float16
    lo: float
    hi: float
    finite: bool = True

    def cosines(self, query: Float32, numbers: Ids) -> Float32:
        """Return exact scores of the rows ``numbers`` (m,)."""
        scores = np.empty(len(numbers), np.float32)
        for block in blocks(len(numbers), len(query)):
            # Not FAISS's reconstruct_batch: for few rows, waking its threads costs more than it saves.
            rows = self.codes[numbers[block]].astype(np.float32)
            norms = row_norms(rows) if self.norms is None else self.norms[numbers[block]]
            scores[block] = cosines(query, rows, norms)
        return scores


class FaissIndex(ExactIndex[_FlatSegment]):
    """An exact index with FAISS's flat fp16 scalar quantizer, one per segment.

    Memory per vector: 2 bytes per dimension (rounded up to a multiple of 16) and 4 for the norm.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        dim: int,
        *,
        previous: object = None,
        placement: Placement | None = None,
    ) -> None:
        self._placement = placement
        super().__init__(segments, dim, previous=previous)

    def _load(self, segment: Segment) -> _FlatSegment:
        norms = segment_norms(segment)
        width = -(-self.dim // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
        count = len(segment.rows)
        index = make_flat_index(width)
        codes = segment.rows
        if count:
            index.codes.resize(count * index.code_size)
            memory = faiss.rev_swig_ptr(index.codes.data(), count * index.code_size)
            codes = memory.view(np.float16).reshape(count, width)[:, : self.dim]
            codes[:] = segment.rows
            index.ntotal = count
        finite = np.isfinite(norms)
        nonzero = norms[finite & (norms > 0)]  # a row of zeros has score and raw product 0
        lo, hi = (float(nonzero.min()), float(nonzero.max())) if nonzero.size else (1.0, 1.0)
        return _FlatSegment(segment, norms, index, codes, lo, hi, bool(finite.all()))

    @property
    def norm_range(self) -> tuple[float, float]:
        """The lowest and highest norm of all rows; 1 and 1 where there is no row."""
        return min((p.lo for p in self._parts), default=1.0), max((p.hi for p in self._parts), default=1.0)

    def _best(self, queries: Float32, k: int, scopes: Sequence[SearchScope[_FlatSegment]]) -> list[Matches]:
        return _proved_top_k(queries, k, scopes, self._placement)


class MappedIndex(FaissIndex):
    """A :class:`FaissIndex` over the memory-mapped rows themselves: nothing is copied, or read before a search.

    All norms of live rows must lie in ``norm_range``. Memory: the pages of the files that the system keeps.
    """

    def __init__(self, segments: Sequence[Segment], dim: int, norm_range: tuple[float, float]) -> None:
        self._range = norm_range
        super().__init__(segments, dim)

    def _load(self, segment: Segment) -> _FlatSegment:
        return _FlatSegment(segment, None, wrap_flat_index(segment.rows), segment.rows, *self._range)


def exact_top_k(
    query: Float32,
    segment: Segment,
    flat: Any,
    k: int,
    norm_range: tuple[float, float],
    beside: FaissIndex | None = None,
    allowed: IdSet | None = None,
) -> Matches:
    """Return the exact top ``k`` of a few rows, all of them live, for one unit query (dim,); ``flat`` indexes the rows.

    With an index ``beside`` them, which has none of these rows, its ``allowed`` rows are ranked together with them.
    """
    scopes = [] if beside is None else list(beside.search_scopes(allowed))
    if count := len(segment.ids):
        part = _FlatSegment(segment, None, flat, segment.rows, *norm_range)
        scope = SearchScope(part, np.ones(count, np.bool_), count)
        if not scopes:
            return _top_of_scope(query, min(k, count), scope)
        scopes.append(scope)
    k = min(k, sum(scope.count for scope in scopes))
    if k == 0:
        return Matches(np.empty(0, np.int64), np.empty(0, np.float32))
    return _proved_top_k(query[np.newaxis], k, scopes)[0]


def _top_of_scope(query: Float32, k: int, scope: SearchScope[_FlatSegment]) -> Matches:
    """Return what :func:`_proved_top_k` returns for one query and one scope, with fewer calls of NumPy."""
    part = scope.part
    fetch = _fetch_first(k)
    if scope.count <= fetch:
        return top_k(part.segment.ids, part.cosines(query, np.arange(scope.count)), k)
    candidates = _propose(query[np.newaxis], fetch, scope, None)
    scores = candidates.scores[0]  # Descending.
    numbers = candidates.numbers[0, scores >= scores[k - 1] - 2 * candidates.error]
    matches = top_k(part.segment.ids[numbers], part.cosines(query, numbers), k)
    if candidates.ceilings[0] < matches.scores[-1]:
        return matches
    return _proved_top_k(query[np.newaxis], k, [scope])[0]


def _proved_top_k(
    queries: Float32, k: int, scopes: Sequence[SearchScope[_FlatSegment]], placement: Placement | None = None
) -> list[Matches]:
    """Return the exact top ``k`` of each query; the scopes have at least ``k`` > 0 rows together."""
    first = _fetch_first(k)
    best: list[Matches] = []
    for start in range(0, len(queries), QUERY_BLOCK):
        block = queries[start : start + QUERY_BLOCK]
        for query, matches in zip(block, _rank_candidates(block, k, first, scopes, placement), strict=True):
            fetch = first
            while matches is None:
                fetch *= 8
                (matches,) = _rank_candidates(query[np.newaxis], k, fetch, scopes, None)
            best.append(matches)
    return best


def _fetch_first(k: int) -> int:
    """Return how many rows to fetch at first for the top ``k``."""
    return k + k // 32 + 32


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Candidates from one part for q queries.

    ``numbers`` (q, m) are row numbers and ``scores`` (q, m) their scores to within ``error``. No other row of the part
    has an exact score above ``ceilings`` (q,).
    """

    part: _FlatSegment
    numbers: Ids
    scores: Float32
    ceilings: npt.NDArray[np.float64]
    error: float


def _error_bound(width: int) -> float:
    """Return a bound on the difference between r/|x| and the exact score: 3g, and one g for second-order terms."""
    return 4 * width * 2.0**-24


def _gpu_error_bound(width: int) -> float:
    """Return the same bound for a GPU, doubled to be safe.

    A GPU rounds queries to float16 (2⁻¹¹ of each number, 2⁻²⁵ below the normal ones), and sums in float32, but perhaps
    without rounding to the nearest.
    """
    return 2 * (_error_bound(width) + 2.0**-11 + math.sqrt(width) * 2.0**-25)


def _rank_candidates(
    queries: Float32,
    k: int,
    fetch: int,
    scopes: Sequence[SearchScope[_FlatSegment]],
    placement: Placement | None,
) -> list[Matches | None]:
    """Return the top ``k`` of each query from ``fetch`` candidates of each scope; None where that is not proved."""
    proposals = [_propose(queries, min(fetch, scope.count), scope, placement) for scope in scopes]
    floors = np.concatenate([candidates.scores - candidates.error for candidates in proposals], axis=1)
    thresholds = np.partition(floors, -k, axis=1)[:, -k]  # At least k candidates score this or more.
    ceilings = np.max([candidates.ceilings for candidates in proposals], axis=0)
    top: list[Matches | None] = []
    for i, query in enumerate(queries):
        ids, exact = [], []
        for candidates in proposals:
            numbers = candidates.numbers[i][candidates.scores[i] + candidates.error >= thresholds[i]]
            if numbers.size:
                ids.append(candidates.part.segment.ids[numbers])
                exact.append(candidates.part.cosines(query, numbers))
        matches = top_k(np.concatenate(ids), np.concatenate(exact), k)
        top.append(matches if ceilings[i] < matches.scores[-1] else None)
    return top


def _propose(
    queries: Float32, fetch: int, scope: SearchScope[_FlatSegment], placement: Placement | None
) -> _Candidates:
    """Return the ``fetch`` rows of a scope that FAISS ranks first."""
    part = scope.part
    padded = queries
    if queries.shape[1] < part.flat.d:
        padded = np.zeros((len(queries), part.flat.d), np.float32)
        padded[:, : queries.shape[1]] = queries
    from_gpu = None if placement is None else _propose_on_gpu(padded, fetch, scope, placement)
    error = _error_bound(part.flat.d) if from_gpu is None else _gpu_error_bound(part.flat.d)
    raw, numbers = from_gpu or (_multiply if len(queries) >= BATCH else _scan)(padded, fetch, scope)
    if part.norms is None:  # The rows are memory-mapped, and the scan has made them resident.
        release(part.segment.rows)
    # One norm for all rows, to within their range: looking each up takes longer than scoring the few rows more.
    middle = (part.lo + part.hi) / 2
    scores = np.clip(raw / np.float32(middle), -1, 1)
    ceilings = np.full(len(queries), -np.inf)
    if fetch < scope.count:
        last = raw[:, -1].astype(np.float64)
        ceilings = last / np.where(last > 0, part.lo, part.hi) + error
    return _Candidates(part, numbers, scores, ceilings, error + part.hi * (1 / part.lo - 1 / middle))


def _propose_on_gpu(
    queries: Float32, fetch: int, scope: SearchScope[_FlatSegment], placement: Placement
) -> tuple[Float32, Ids] | None:
    """Return what :func:`_scan` finds, from a GPU; None where the CPU must search."""
    part = scope.part
    if not part.finite or part.codes.nbytes < MIN_GPU_BYTES:
        return None
    rows = len(scope.mask)
    passing = None if scope.count == rows else scope.mask.__getitem__
    candidates = placement.draw(part.flat, queries, fetch, passing, scope.count / rows)
    if candidates is None:
        return None
    raw, numbers = candidates.scores, candidates.ids
    unproved = ~candidates.is_complete | (numbers < 0).any(axis=1)
    if unproved.any():
        raw[unproved], numbers[unproved] = _scan(queries[unproved], fetch, scope)
    return raw, numbers


def _scan(queries: Float32, fetch: int, scope: SearchScope[_FlatSegment]) -> tuple[Float32, Ids]:
    """Scan the rows for each query.

    Return raw products, descending, and row numbers, both (q, fetch).
    """
    raw: Float32
    numbers: Ids
    params = None
    if scope.count < len(scope.mask):
        bitmap = np.packbits(scope.mask, bitorder="little")
        # FAISS keeps pointers only: bitmap, selector and params must outlive the search.
        selector = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        params = faiss.SearchParameters()
        params.sel = selector
    with at_most_threads(len(queries)):  # It gives each query to one thread.
        raw, numbers = scope.part.flat.search(queries, fetch, params=params)
    return raw, numbers


def _multiply(queries: Float32, fetch: int, scope: SearchScope[_FlatSegment]) -> tuple[Float32, Ids]:
    """Return the same as :func:`_scan`, by matrix products of all queries with blocks of rows, each decoded once."""
    flat = scope.part.flat
    heap = faiss.ResultHeap(len(queries), fetch, keep_max=True)
    for block in blocks(len(scope.mask), flat.d, elements=1 << 22):
        numbers = np.flatnonzero(scope.mask[block])
        if numbers.size:
            rows = flat.reconstruct_n(block.start, block.stop - block.start)[numbers]
            raw = queries @ rows.T  # By NumPy: FAISS's wheels have a BLAS of 2021.
            best = largest(raw, min(fetch, numbers.size))
            heap.add_result(np.take_along_axis(raw, best, 1), block.start + numbers[best])
    heap.finalize()
    return heap.D, heap.I
