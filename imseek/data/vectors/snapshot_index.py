"""The index of a large collection: a snapshot for most images, a scan of those added later.

Candidates from the snapshot are looked up in the stored rows and scored exactly, so a score never depends on the kind
of index; only some of the best images may be missed. Later images are scanned exactly where they are few; where many
are searched often, codes like the snapshot's propose candidates among them too. Callers that must miss none pass
``exact``: then all rows are read. A filter that lets few images through is exact too: those few are scored one by one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from imseek.data.vectors.base import Bools, Float16, Ids, IdSet, Matches, Segment
from imseek.data.vectors.code_rotation import RotatedIndex
from imseek.data.vectors.faiss_index import BATCH, FaissIndex, MappedIndex, exact_top_k
from imseek.data.vectors.faiss_snapshot import Candidates, NearestLists, Snapshot
from imseek.data.vectors.fp16_flat_index import RowBuffer
from imseek.data.vectors.index_metadata import RECALL_K, Bits, SearchEffort, TuningResult, count_bits, pack_bits
from imseek.data.vectors.mmap_residency import ResidencyLimiter
from imseek.data.vectors.row_locations import RowLocations
from imseek.data.vectors.scores import top_k, unit_queries
from imseek.data.vectors.tail_codes import MIN_ROWS, TailCodes, fits_codes
from imseek.errors import CorruptCollectionError, QueryError
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import Placement

#: More results than this are requested so rarely that they are found exactly.
MAX_APPROXIMATE_K = 1000
#: Up to this many allowed images, or this share of all, every one is scored.
MAX_SCORED_IDS = 10_000
SCANNED_SHARE = 0.02
#: Filters are not random: one that keeps nearly all images may exclude exactly those nearest to the query ("not in this
#: folder"). So a filter is searched as if it let at most this share through.
MAX_FILTER_SHARE = 0.1
#: A filter is related to a query if the k-th hit ranks so many times further among all images than it would with an
#: unrelated filter. Of more hits than ``_MOST_RANKED_HITS``, the last of these counts.
_RELATED_RANKS = 2
_MOST_RANKED_HITS = 100
#: Candidates whose rows have memory of their own in each thread.
_BUFFER_ROWS = 10240
#: Candidates of the tail to examine first, in addition to twice its share of all.
_TAIL_CANDIDATES = 32
#: Queries whose candidates are in memory at the same time.
_BLOCK = 256
#: Scans of the tail before it gets codes: making the codes takes about as long as these scans.
_SCANS = 100
#: Rows of the snapshot, and of the tail, that decide whether the snapshot's codes suit the tail.
_SAMPLE = 256


@dataclass(frozen=True, slots=True, eq=False)
class _PreparedFilter:
    """A prepared filter: all ids that it lets through, a bitmap of those in the snapshot, and their share of it."""

    ids: Ids
    bits: Bits
    share: float


class SnapshotIndex:
    """A :class:`~imseek.data.vectors.base.VectorIndex` that is approximate unless ``exact`` is passed.

    Memory: the parts of the snapshot that have been probed, the rows that it does not cover, and a few bytes per image.
    """

    exact = False

    def __init__(
        self,
        segments: Sequence[Segment],
        dim: int,
        snapshot: Snapshot,
        *,
        previous: object = None,
        placement: Placement | None = None,
    ) -> None:
        if snapshot.facts.dim != dim or any(segment.rows.shape[1] != dim for segment in segments):
            raise CorruptCollectionError(f"vectors or an index of another width than {dim}")
        self._segments = tuple(segments)
        self._dim = dim
        self._snapshot = snapshot
        self._placement = placement
        if not isinstance(previous, SnapshotIndex):
            previous = None
        masks = [segment.searchable() for segment in segments]
        self._live = sum(int(np.count_nonzero(mask)) for mask in masks)
        self._residence = ResidencyLimiter([segment.rows for segment in segments], snapshot.facts.memory)
        self._locations = RowLocations(segments, masks, dim, self._residence)
        covered = [snapshot.covered.has(segment.ids) for segment in segments]
        live_ids = [s.ids[mask & cover] for s, mask, cover in zip(segments, masks, covered, strict=True)]
        in_snapshot = np.concatenate([np.empty(0, np.int64), *live_ids])
        # Without dead rows no selector is needed, which would cost a tenth of the time.
        self._live_marks = (
            None if len(in_snapshot) == snapshot.facts.rows else pack_bits(in_snapshot, 8 * len(snapshot.covered.marks))
        )
        self._live_share = len(in_snapshot) / max(1, snapshot.facts.rows)
        self._tail_segments: dict[int, Segment] = {} if previous is None else previous._tail_segments
        tail = [self._uncovered(*one) for one in zip(segments, masks, covered, strict=True)]
        self._tail_segments = {id(s.rows): fresh for s, fresh in zip(segments, tail, strict=True) if fresh is not None}
        self._tail: FaissIndex = FaissIndex(
            [fresh for fresh in tail if fresh is not None], dim, previous=None if previous is None else previous._tail
        )
        has_codes = snapshot.rotated.has_scan_codes and len(self._tail) >= MIN_ROWS
        self._codec = snapshot.rotated if has_codes else None
        self._codes: TailCodes | None = None
        self._scans, self._codes_before = 0, None
        if previous is not None and previous._snapshot.index is snapshot.index:
            self._scans, self._codes_before = previous._scans, previous._codes or previous._codes_before
        lo, hi = self._tail.norm_range
        self._range = (min(lo, snapshot.facts.lo), max(hi, snapshot.facts.hi))
        self._prepared: WeakKeyDictionary[IdSet, _PreparedFilter] = WeakKeyDictionary()
        self._exact_index: MappedIndex | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def _uncovered(self, segment: Segment, live: Bools, covered: Bools) -> Segment | None:
        """Return the live rows of a segment that are not covered, reusing the previous arrays if nothing changed.

        Dead rows are excluded explicitly: those that were dead when the snapshot was built are not covered either.
        """
        uncovered = live & ~covered
        if not uncovered.any():
            return None
        if not covered.any():
            return segment
        rows = np.flatnonzero(uncovered)
        previous = self._tail_segments.get(id(segment.rows))
        if previous is not None and np.array_equal(previous.ids, segment.ids[rows]):
            return previous
        return Segment(segment.ids[rows], np.ascontiguousarray(segment.rows[rows]), np.empty(0, np.int64))

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self._segments

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def tail(self) -> int:
        """The number of live rows that the snapshot does not cover."""
        return len(self._tail)

    def __len__(self) -> int:
        return self._live

    def count(self, allowed: IdSet) -> int:
        return len(self._prepare_filter(allowed).ids)

    def search(
        self,
        queries: Float32,
        k: int,
        *,
        allowed: IdSet | Ids | None = None,
        text: bool = False,
        exact: bool = False,
    ) -> list[Matches]:
        """Search as :meth:`VectorIndex.search`; the recall for each kind of query is in the
        metadata of the snapshot."""
        queries = unit_queries(queries, self._dim)
        if k < 1:
            raise QueryError(f"k must be at least 1, not {k}")
        tuning = self._snapshot.facts.text if text else self._snapshot.facts.image
        if allowed is None:
            if exact or k > MAX_APPROXIMATE_K:
                return self._scan(queries, k, None)
            return self._probe(queries, k, tuning.effort)[0]
        allowed = allowed if isinstance(allowed, IdSet) else IdSet(allowed)
        prepared = self._prepare_filter(allowed)
        if len(prepared.ids) <= max(MAX_SCORED_IDS, k):
            return [self._score(query, prepared.ids, k) for query in queries]
        if exact or k > MAX_APPROXIMATE_K or self._share(prepared) <= SCANNED_SHARE or not self._snapshot.filters:
            return self._scan(queries, k, allowed)
        return self._probe_with_filter(queries, k, tuning, allowed, prepared)

    def _prepare_filter(self, allowed: IdSet) -> _PreparedFilter:
        """Return the prepared filter, which is cached."""
        prepared = self._prepared.get(allowed)
        if prepared is None:
            ids_by_segment = [s.ids[s.searchable(allowed)] for s in self._segments]
            ids = np.sort(np.concatenate([np.empty(0, np.int64), *ids_by_segment]))
            marks = self._snapshot.covered.bitmap_of(ids)
            share = count_bits(marks) / max(1, self._snapshot.facts.rows)
            prepared = _PreparedFilter(ids, marks, share)
            self._prepared[allowed] = prepared
        return prepared

    def _share(self, prepared: _PreparedFilter) -> float:
        """Return the share of the live images that a filter lets through."""
        return len(prepared.ids) / max(1, self._live)

    # -- probe, score or scan ------------------------------------------------------------------------------

    def _probe_with_filter(
        self, queries: Float32, k: int, tuning: TuningResult, allowed: IdSet, prepared: _PreparedFilter
    ) -> list[Matches]:
        """Return the best allowed candidates in the lists near each query.

        The number of lists is that for a filter unrelated to the query. Where the filter excludes what the query is
        near to, more lists are read, and at last all of them.
        """
        share = min(self._share(prepared), MAX_FILTER_SHARE)
        results: dict[int, Matches] = {}
        numbers = np.arange(len(queries))
        for effort, ranks in (
            (tuning.effort_for(share), _RELATED_RANKS / share),
            (tuning.effort_for(SCANNED_SHARE), 1 / SCANNED_SHARE),
            (replace(tuning.effort, probe=self._snapshot.widest, reach=None), math.inf),
        ):
            matches, is_related = self._probe(queries[numbers], k, effort, allowed, prepared, ranks)
            results.update(zip(numbers.tolist(), matches, strict=True))
            numbers = numbers[is_related]
            if not len(numbers):
                break
        return [results[n] for n in range(len(queries))]

    def _probe(
        self,
        queries: Float32,
        k: int,
        effort: SearchEffort,
        allowed: IdSet | None = None,
        prepared: _PreparedFilter | None = None,
        ranks: float = math.inf,
    ) -> tuple[list[Matches], Bools]:
        """Return the best candidates in the lists near each query, and for which queries a filter is related to them:
        their hits rank further than in ``ranks`` times their number among all images in these lists."""
        effort = effort.scale_to(k)
        marks = self._live_marks if prepared is None else prepared.bits
        count = min(effort.rescore, self._snapshot.facts.rows)
        most = min(k, self._live if prepared is None else len(prepared.ids))
        codes = self._coded_tail(len(queries))
        scanned = codes is None and len(self._tail) > 0
        # Many queries scan the tail together, which is faster; for few, one proof covers candidates and tail.
        beside = self._tail if scanned and len(queries) < BATCH else None
        tails = self._tail.search(queries, k, allowed=allowed) if scanned and beside is None else []
        results, related = [], np.zeros(len(queries), np.bool_)
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            bitmap = marks if self._snapshot.filters else None
            passing_share = self._live_share if prepared is None else prepared.share
            lists = None
            if self._placement is None:
                lists = self._snapshot.nearest_lists(block, effort.probe, effort.reach)
            candidates = self._snapshot.candidates(
                block,
                count,
                effort.probe,
                bitmap,
                placement=self._placement,
                share=passing_share,
                reach=effort.reach,
                lists=lists,
            )
            # Without filters, some of the k best may be dead, so distances to the k-th mean nothing.
            slack = effort.slack if self._snapshot.filters or self._live_marks is None else None
            depth = max(k, RECALL_K)
            if ranks < math.inf and self._snapshot.widest:
                related[start : start + _BLOCK] = self._is_related(block, candidates, depth, ranks, effort.probe, lists)
            if codes is None:
                near = candidates.near(depth, slack)
            else:
                tail_share = len(codes) / max(1, self._snapshot.facts.rows)
                first = depth + _TAIL_CANDIDATES + int(2 * tail_share * count)
                rotated = self._snapshot.rotated.rotate(block) if lists is None else lists.queries
                near = _near(candidates, codes, rotated, depth, slack, allowed, (first, max(k, effort.rescore)))
            for n, (query, ids) in enumerate(zip(block, near, strict=True), start):
                matches = self._score(query, self._allowed(ids, allowed), k, beside, allowed)
                if tails:
                    scores = np.concatenate([matches.scores, tails[n].scores])
                    matches = top_k(np.concatenate([matches.ids, tails[n].ids]), scores, k)
                if len(matches) < most and not related[n]:
                    # The probed lists contain too few images that are alive and allowed.
                    (matches,) = self._scan(query[np.newaxis], k, allowed)
                results.append(matches)
        return results, related

    def _coded_tail(self, queries: int) -> TailCodes | None:
        """Return the codes of the tail; None where it has none, or has not been searched often enough."""
        if self._codec is None or self._codes is not None:
            return self._codes
        self._scans += queries  # Lost counts do no harm.
        if self._scans >= _SCANS:
            with self._lock:
                if self._codec is not None and self._codes is None:
                    if self._fits_tail(self._codec):
                        self._codes = TailCodes(self._codec, self._tail.segments, self._codes_before)
                    else:
                        self._codec = None
                    self._codes_before = None
        return self._codes

    def _fits_tail(self, codec: RotatedIndex) -> bool:
        """Whether the snapshot's codes suit the tail, too."""
        covered = self._snapshot.covered
        covered_rows = [_sample(s, s.searchable() & covered.has(s.ids)) for s in self._segments]
        tail_rows = [_sample(s, s.searchable()) for s in self._tail.segments]
        return fits_codes(codec, np.concatenate(tail_rows), np.concatenate(covered_rows))

    def _is_related(
        self,
        queries: Float32,
        candidates: Candidates,
        k: int,
        ranks: float,
        probe: int,
        lists: NearestLists | None,
    ) -> Bools:
        """Return for each query whether the ``k``-th of its ``candidates`` ranks further than ``ranks`` · ``k`` among
        all images in the same ``lists``."""
        k = min(k, _MOST_RANKED_HITS, candidates.scores.shape[1])
        everything = self._snapshot.candidates(
            queries,
            min(math.ceil(ranks * k), self._snapshot.facts.rows),
            probe,
            self._live_marks,
            placement=self._placement,
            share=self._live_share,
            lists=lists,
        )
        is_far: Bools = everything.scores[:, -1] > candidates.scores[:, k - 1]
        return is_far

    @staticmethod
    def _allowed(proposed: Ids, allowed: IdSet | None) -> Ids:
        """Return the proposed ids that a filter lets through, ascending: no index is trusted to filter alone."""
        ids = np.sort(proposed[proposed >= 0])  # np.unique takes ten times as long.
        is_repeat = ids[1:] == ids[:-1]
        if is_repeat.any():
            ids = np.delete(ids, np.flatnonzero(is_repeat))
        return ids if allowed is None else ids[allowed.marks(ids)]

    def _score(
        self,
        query: Float32,
        ids: Ids,
        k: int,
        beside: FaissIndex | None = None,
        allowed: IdSet | None = None,
    ) -> Matches:
        """Return the best ``k`` of ``ids`` (ascending) by their stored rows; ids that are not live are skipped.

        With an index ``beside``, return the best of both.
        """
        buffer = self._buffer()
        live, rows = self._locations.rows(ids, buffer.rows)
        segment = Segment(live, rows, np.empty(0, np.int64))
        return exact_top_k(query, segment, buffer.flat(rows), k, self._range, beside, allowed)

    def _buffer(self) -> RowBuffer:
        """Return this thread's memory for candidates, which would otherwise be allocated for each query."""
        buffer: RowBuffer | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = RowBuffer(_BUFFER_ROWS, self._dim)
        return buffer

    def _scan(self, queries: Float32, k: int, allowed: IdSet | None) -> list[Matches]:
        """Search exactly, by reading every row."""
        with self._lock:
            if self._exact_index is None:
                self._exact_index = MappedIndex(self._segments, self._dim, self._range)
        matches = self._exact_index.search(queries, k, allowed=allowed)
        self._residence.release_excess()
        return matches


def _near(
    best: Candidates,
    codes: TailCodes,
    queries: Float32,
    k: int,
    slack: float | None,
    allowed: IdSet | None,
    counts: tuple[int, int],
) -> Ids:
    """Return, as :meth:`Candidates.near`, the snapshot's candidates and those of the tail that are as good (-1: none).

    ``queries`` (q, dim) are rotated as the codes' rows are. ``slack`` counts from the ``k``-th of all. No candidate of
    the tail is worse than the snapshot's last, unless it has no more. The first of ``counts`` candidates of the tail
    are examined, and the second only if all of these are good.
    """
    first, count = counts
    bits = None if allowed is None else codes.bitmap_of(allowed)
    depth = min(count, first)
    while True:
        tail = codes.candidates(queries, depth, bits)
        has_more = (best.ids[:, -1:] >= 0) & (best.ids.shape[1] >= count)
        least = np.where(has_more, best.scores[:, -1:], -np.inf)
        top = np.concatenate([best.scores[:, :k], tail.scores[:, :k]], axis=1)
        if slack is not None and top.shape[1] >= k:
            least = np.maximum(least, -np.partition(-top, k - 1, axis=1)[:, k - 1 : k] - np.float32(slack))
        if depth >= min(count, len(codes)) or (tail.scores[:, -1:] < least).all():
            break
        depth = count
    return np.concatenate([np.where(one.scores >= least, one.ids, -1) for one in (best, tail)], axis=1)


def _sample(segment: Segment, mask: Bools) -> Float16:
    """Return some of the rows that are marked, evenly spread."""
    numbers = np.flatnonzero(mask)
    rows: Float16 = segment.rows[numbers[:: max(1, len(numbers) // _SAMPLE)]]
    return rows
