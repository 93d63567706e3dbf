"""Range search: find all rows above a similarity to many queries, unlike a search, which finds the best few for one.

Of the rows that an approximate index covers, a query is compared with those of the lists nearest to it; very similar
rows share few lists, so probing a tenth of what a search probes is enough. Many queries are multiplied with the rows of
one list after the other; for few queries, and in an index without lists, the index proposes candidates by its codes.
Rows that it does not cover are all multiplied. In every case the stored rows decide. No Python code runs per query:
searching one query at a time takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.blas_threads import one_blas_thread
from imseek.data.vectors.base import Bools, Float16, Ids, IdSet, Segment, VectorIndex
from imseek.data.vectors.mmap_residency import ResidencyLimiter, release
from imseek.data.vectors.row_locations import RowLocations
from imseek.data.vectors.scores import blocks, row_norms, scores_of, unit_rows
from imseek.map_ahead import map_ahead
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.data.vectors.faiss_snapshot import Snapshot

#: Maximum lists probed, and candidates requested: at first, and at most, where all of them seem to match. With
#: 4 lists and 128 candidates, all 767 pairs of cosine .9 and more among 100,000 hard vectors are found.
MAX_PROBE: Final = 16
FIRST_CANDIDATES: Final = 128
MAX_CANDIDATES: Final = 1024
#: Approximate maximum of resident bytes of mapped files, besides those read for one block.
RESIDENT_BYTES: Final = 256 << 20
#: Queries that are processed together: multiplied with a block of rows, or sent to an index.
_QUERY_BLOCK: Final = 2048
#: Numbers in a block of rows: 8 MiB of float32.
_ELEMENTS: Final = 1 << 21
#: Pairs whose rows are in memory at the same time.
_PAIR_BLOCK: Final = 8192
#: From this many queries for each list on, and up to this many rows for each query, reading all rows of a list takes
#: less time than scoring their codes.
_QUERIES_PER_LIST: Final = 4
_ROWS_PER_QUERY: Final = 100
#: Rows of lists that are read at the same time, and rows of one list that are multiplied.
_LIST_ROWS: Final = 16_384
_PIECE_ROWS: Final = 4096
#: Threads that compare lists, each with rows of its own.
_THREADS: Final = 2
_LAST_ID: Final = np.iinfo(np.int64).max
#: A generous bound on the error of a float32 product.
_ROUNDING: Final = 1e-4
#: Queries from which the ratio of code scores to cosines is estimated; the share of pairs that may fall below it, and
#: a margin.
_SAMPLE: Final = 256
_MISSED: Final = 0.001
_MARGIN: Final = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class RangeMatches:
    """The matches of a range search.

    ``query`` (m,) int64 are query numbers, ascending; ``ids`` (m,) int64 and ``cosines`` (m,) float32 their matches.
    ``cut`` (q,) marks the queries that have more matches than were requested.
    """

    query: Ids
    ids: Ids
    cosines: Float32
    cut: Bools


class StoredRows:
    """Looks up the stored rows of live images by id. Memory: 4 bytes for each id up to the last one."""

    def __init__(self, segments: Sequence[Segment], dim: int) -> None:
        self._segments = tuple(segments)
        live = [segment.searchable() for segment in segments]
        residence = ResidencyLimiter([segment.rows for segment in segments], RESIDENT_BYTES)
        self._locations = RowLocations(segments, live, dim, residence)

    def of(self, ids: Ids) -> tuple[Ids, Float16]:
        """Return those of ``ids`` (m,) that are live, in their order, and their rows (n, dim)."""
        return self._locations.rows(ids)

    def cosines(self, ids: Ids, other_rows: StoredRows, other_ids: Ids) -> Float32:
        """Return (m,): the cosine of each of ``ids`` and its counterpart in ``other_ids``; NaN if one is not live
        or all zeros."""
        cosines = np.full(len(ids), np.nan, np.float32)
        for start in range(0, len(ids), _PAIR_BLOCK):
            part = slice(start, start + _PAIR_BLOCK)
            live, rows = self.of(ids[part])
            other_live, counterparts = other_rows.of(other_ids[part])
            if len(rows) < len(ids[part]) or len(counterparts) < len(ids[part]):
                are_live = np.isin(ids[part], live) & np.isin(other_ids[part], other_live)
                rows, counterparts = self.of(ids[part][are_live])[1], other_rows.of(other_ids[part][are_live])[1]
                cosines[part][are_live] = _cosines(rows, counterparts)
            else:
                cosines[part] = _cosines(rows, counterparts)
        return cosines

    def release(self) -> None:
        """Release the pages that were read from the files."""
        for segment in self._segments:
            release(segment.rows)


class RangeSearch:
    """A range search in an index, restricted to the ``allowed`` images and prepared for many queries.

    Memory: 20 bytes per image; 150 MB during a search, besides the rows in float32 and the matches; more where
    thousands are alike.
    """

    def __init__(self, index: VectorIndex, allowed: IdSet) -> None:
        self._index = index
        self._masks = [segment.searchable(allowed) for segment in index.segments]
        self._snapshot: Snapshot | None = getattr(index, "snapshot", None)
        #: Scores by codes that a match has at least, by the least cosine.
        self._floors: dict[float, float] = {}
        if self._snapshot is not None:
            facts = self._snapshot.facts
            covered = [self._snapshot.covered.has(segment.ids) for segment in index.segments]
            segments = zip(index.segments, self._masks, covered, strict=True)
            ids = [segment.ids[mask & cover] for segment, mask, cover in segments]
            self._snapshot_ids = IdSet(np.concatenate([np.empty(0, np.int64), *ids]))
            # No selector is needed where all images are allowed, and some kinds support none.
            every = len(self._snapshot_ids) == facts.rows or not self._snapshot.filters
            self._marks = None if every else self._snapshot.covered.bitmap_of(self._snapshot_ids.ids)
            self._masks = [mask & ~cover for mask, cover in zip(self._masks, covered, strict=True)]
            self._rows = StoredRows(index.segments, index.dim)

    def near(self, rows: Float16, least: float, most: int, last: int | None = None) -> RangeMatches:
        """Find, for each of ``rows`` (q, dim), the allowed ids with a cosine of at least ``least``; the best ``most``
        of them. With ``last``, ids beyond that one need not be found.

        ``rows`` are stored rows, none of them zeros. The cosine of two stored rows is the float32 sum of their products
        over the product of their norms: equal to a search's score within rounding, and symmetric. Exact if the index
        is.
        """
        queries = unit_rows(rows)
        last = _LAST_ID if last is None else last
        pairs = _MatchCollector(len(rows), most)
        if self._snapshot is not None and len(self._snapshot_ids):
            if all(_has_rows_worth_reading(part, len(queries)) for part in self._snapshot.parts):
                for part in self._snapshot.parts:
                    self._compare_lists(part, rows, queries, least, last, pairs)
            else:
                self._probe(self._snapshot, rows, queries, least, pairs)
        for segment, mask in zip(self._index.segments, self._masks, strict=True):
            count = int(np.searchsorted(segment.ids, last, "right"))
            if mask[:count].any():
                _scan(segment, mask[:count], rows, queries, least, pairs)
                release(segment.rows)
        return pairs.all()

    def _compare_lists(
        self, snapshot: Snapshot, rows: Float16, queries: Float32, least: float, last: int, pairs: _MatchCollector
    ) -> None:
        """Add the matches in the lists nearest to each query."""
        query, number = snapshot.query_list_pairs(queries, MAX_PROBE)
        if not len(query):
            return
        order = np.argsort(number, kind="stable")
        starts = np.flatnonzero(np.diff(number[order], prepend=-1))
        members_of_lists = np.split(query[order], starts[1:])
        members_by_list = zip(number[order][starts].tolist(), members_of_lists, strict=True)
        groups = self._group_pieces(snapshot, members_by_list, last)
        # Products of single lists are too small to be divided among threads of BLAS, which would wait for each other.
        with one_blas_thread(), ThreadPoolExecutor(_THREADS) as pool:
            multiply = partial(self._multiply, rows=rows, queries=queries, least=least, most=pairs.most)
            for matches, cut in map_ahead(pool, multiply, groups, _THREADS):
                pairs.add(*matches)
                pairs.mark_cut(cut)

    def _group_pieces(
        self, snapshot: Snapshot, members_by_list: Iterable[tuple[int, Ids]], last: int
    ) -> Iterator[list[tuple[Ids, Ids]]]:
        """Yield pieces of lists, each the numbers of the queries to compare it with and its ids up to ``last``: as many
        at a time as are read together."""
        pieces: list[tuple[Ids, Ids]] = []
        waiting = 0
        for number, members in members_by_list:
            ids = snapshot.ids_of_list(number)
            ids = ids[ids <= last]
            ids = ids[self._snapshot_ids.marks(ids)]
            for start in range(0, len(ids), _PIECE_ROWS):
                pieces.append((members, ids[start : start + _PIECE_ROWS]))
                waiting += len(pieces[-1][1])
                if waiting >= _LIST_ROWS:
                    yield pieces
                    pieces, waiting = [], 0
        if pieces:
            yield pieces

    def _multiply(
        self,
        pieces: Sequence[tuple[Ids, Ids]],
        rows: Float16,
        queries: Float32,
        least: float,
        most: int,
    ) -> tuple[tuple[Ids, Ids, Float32], Ids]:
        """Return the matches of all pieces: query numbers, ids, cosines; and the numbers of queries that have more."""
        ids = np.concatenate([of_piece for _, of_piece in pieces])
        order = np.argsort(ids)  # so that files are read from front to back
        stored = self._rows.of(ids[order])[1]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        found, cut, end = [], [], 0
        for members, of_piece in pieces:
            begin, end = end, end + len(of_piece)
            units = unit_rows(stored[places[begin:end]])
            for start in range(0, len(members), _QUERY_BLOCK):
                numbers = members[start : start + _QUERY_BLOCK]
                query, hit, overfull = _likely_pairs(queries[numbers] @ units.T, least, most, numbers)
                found.append((query, hit + begin))
                cut.append(overfull)
        query, hit = (np.concatenate(part) for part in zip(*found, strict=True))
        cosines = np.empty(len(query), np.float32)
        for part in _pair_blocks(len(query)):
            cosines[part] = _cosines(rows[query[part]], stored[places[hit[part]]])
        is_match = cosines >= least
        return (query[is_match], ids[hit[is_match]], cosines[is_match]), np.concatenate(cut)

    def _probe(self, snapshot: Snapshot, rows: Float16, queries: Float32, least: float, pairs: _MatchCollector) -> None:
        """Add the matches among the snapshot's candidates."""
        facts = snapshot.facts
        count = min(max(FIRST_CANDIDATES, 4 * pairs.most), facts.rows)
        probe = facts.image.effort.scale_to(count).probe
        if "IVF" in facts.factory:
            probe = min(probe, MAX_PROBE)
        floor = self._score_floor(snapshot, rows, queries, least, count, probe)
        deepest, remaining = min(MAX_CANDIDATES, facts.rows), np.arange(len(queries))
        while len(remaining):
            unfinished = []
            for start in range(0, len(remaining), _QUERY_BLOCK):
                numbers = remaining[start : start + _QUERY_BLOCK]
                candidates = snapshot.candidates(queries[numbers], count, probe, self._marks)
                likely = (candidates.ids >= 0) & (candidates.scores >= floor)
                query, column = np.nonzero(likely)
                ids = candidates.ids[query, column]
                allowed = self._snapshot_ids.marks(ids)
                query, ids, cosines = _filter_pairs(self._rows, rows, numbers[query[allowed]], ids[allowed], least)
                exhausted = numbers[likely.all(axis=1)]  # Rows beyond these candidates may match too.
                short = exhausted[np.bincount(query, minlength=len(queries))[exhausted] <= pairs.most]
                if count < deepest and short.size:
                    unfinished.append(short)
                    settled = ~np.isin(query, short)
                    query, ids, cosines = query[settled], ids[settled], cosines[settled]
                elif count < facts.rows:
                    pairs.mark_cut(short)
                pairs.add(query, ids, cosines)
            remaining = np.concatenate([remaining[:0], *unfinished])
            count = min(4 * count, deepest)

    def _score_floor(
        self, snapshot: Snapshot, rows: Float16, queries: Float32, least: float, count: int, probe: int
    ) -> float:
        """Return the score by codes below which a candidate is no match.

        Scores by codes are lower than the cosine by a nearly constant factor. It is estimated from some of the first
        queries that are enough for that.
        """
        if least in self._floors:
            return self._floors[least]
        sample = np.linspace(0, len(queries) - 1, min(_SAMPLE, len(queries))).astype(np.int64)
        candidates = snapshot.candidates(queries[sample], count, probe, None)
        query, column = np.nonzero(candidates.ids >= 0)
        ids, scores = candidates.ids[query, column], candidates.scores[query, column]
        ratios = [np.ones(1, np.float32)]
        for part in _pair_blocks(len(ids)):
            live, live_rows = self._rows.of(ids[part])
            is_live = np.isin(ids[part], live)
            cosines = _cosines(rows[sample[query[part][is_live]]], live_rows)
            near_enough = cosines >= least / 2
            ratios.append(scores[part][is_live][near_enough] / cosines[near_enough])
        floor = least * float(np.quantile(np.concatenate(ratios), _MISSED)) - _MARGIN
        if len(sample) == _SAMPLE:
            self._floors[least] = floor
        return floor


def _has_rows_worth_reading(snapshot: Snapshot, queries: int) -> bool:
    """Whether reading all rows of the nearest lists takes less time than scoring their codes for so many queries."""
    probe = min(MAX_PROBE, snapshot.widest)
    is_shared = queries * probe >= _QUERIES_PER_LIST * snapshot.widest
    return snapshot.has_lists and is_shared and snapshot.facts.rows <= _ROWS_PER_QUERY * queries


class _MatchCollector:
    """Collects matches and keeps the best ``most`` of each query."""

    def __init__(self, queries: int, most: int) -> None:
        self.most = most
        self._cut = np.zeros(queries, np.bool_)
        self._best = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        self._new: list[tuple[Ids, Ids, Float32]] = []
        self._pending = 0

    def add(self, query: Ids, ids: Ids, cosines: Float32) -> None:
        self._new.append((query, ids, cosines))
        self._pending += len(ids)
        if self._pending > self.most * len(self._cut) + _PAIR_BLOCK:
            self._shorten()

    def mark_cut(self, queries: Ids) -> None:
        self._cut[queries] = True

    def all(self) -> RangeMatches:
        self._shorten()
        return RangeMatches(*self._best, self._cut)

    def _shorten(self) -> None:
        query, ids, cosines = (np.concatenate(part) for part in zip(self._best, *self._new, strict=True))
        order = np.lexsort((ids, -cosines, query))
        counts = np.bincount(query, minlength=len(self._cut))
        self._cut |= counts > self.most
        firsts = np.cumsum(counts) - counts
        order = order[np.arange(len(order)) - firsts[query[order]] < self.most]
        self._best = query[order], ids[order], cosines[order]
        self._new, self._pending = [], 0


def _scan(segment: Segment, mask: Bools, rows: Float16, queries: Float32, least: float, pairs: _MatchCollector) -> None:
    """Compare every marked row with every query; ``mask`` is of the first rows, or of all."""
    for block in blocks(len(mask), len(queries[0]), _ELEMENTS):
        positions = np.flatnonzero(mask[block]) + block.start
        if not positions.size:
            continue
        block_rows = np.asarray(segment.rows[positions])
        units = unit_rows(block_rows)
        for start in range(0, len(queries), _QUERY_BLOCK):
            numbers = np.arange(start, min(start + _QUERY_BLOCK, len(queries)))
            query, hit, overfull = _likely_pairs(queries[numbers] @ units.T, least, pairs.most, numbers)
            pairs.mark_cut(overfull)
            for part in _pair_blocks(len(query)):
                cosines = _cosines(rows[query[part]], block_rows[hit[part]])
                is_match = cosines >= least
                pairs.add(query[part][is_match], segment.ids[positions[hit[part]]][is_match], cosines[is_match])


def _likely_pairs(products: Float32, least: float, most: int, numbers: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the query numbers and row numbers of products (q, n) that may be matches.

    ``numbers`` (q,) are those of the queries. A query with more of them than ``most`` gets only the best, and is
    returned as well: a million equal rows need not be looked up for each.
    """
    is_likely = products >= least - _ROUNDING
    overfull = np.flatnonzero(np.count_nonzero(is_likely, axis=1) > most)
    if overfull.size:
        best = np.argpartition(products[overfull], -most, axis=1)[:, -most:]
        is_likely[overfull] = False
        is_likely[overfull[:, np.newaxis], best] = True
    query, hit = np.divmod(np.flatnonzero(is_likely), products.shape[1])
    return numbers[query], hit, numbers[overfull]


def _filter_pairs(stored: StoredRows, rows: Float16, query: Ids, ids: Ids, least: float) -> tuple[Ids, Ids, Float32]:
    """Filter pairs of a query and an image; return queries, ids and cosines of the matches."""
    matches = [(query[:0], ids[:0], np.empty(0, np.float32))]
    for part in _pair_blocks(len(query)):
        live, live_rows = stored.of(ids[part])
        cosines = _cosines(rows[query[part]], live_rows)
        near_enough = cosines >= least
        matches.append((query[part][near_enough], live[near_enough], cosines[near_enough]))
    a, b, c = (np.concatenate(part) for part in zip(*matches, strict=True))
    return a, b, c


def _pair_blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _PAIR_BLOCK) for start in range(0, count, _PAIR_BLOCK))


def _cosines(a: Float16, b: Float16) -> Float32:
    """Return (m,): cosines of the rows (m, dim) of ``a`` and ``b``, pair by pair; NaN where one is all zeros."""
    left, right = a.astype(np.float32), b.astype(np.float32)
    norms = row_norms(left) * row_norms(right)
    return np.where(norms > 0, scores_of((left * right).sum(axis=1), norms), np.float32(np.nan))
