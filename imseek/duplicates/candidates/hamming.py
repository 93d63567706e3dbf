"""Find near perceptual hashes without comparing each with every other.

Multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast exact search in Hamming space with multi-index hashing",
TPAMI 2014): if two 64-bit hashes differ in at most r bits, then at least one of their four 16-bit parts differs in at
most t bits of that part, where the four t add up to r - 3. (Otherwise each part would differ in at least t + 1 bits, r
+ 1 in total.) So every hash is looked up under the few values that its parts can have, in tables of all hashes by part,
and only the hits are compared.

Works on arrays: for each way to change a part, all queries at once. The first hashes of each bucket are the rows of a
matrix, so that queries are compared with whole rows; only what a bucket has beyond that is looked up hash by hash,
which takes five times as long. FAISS's multi-index hashing works query by query; bench/duplicates_scale.py compares
the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.unique_contents import Hashes, Ids
from imseek.search.near_duplicates import count_bits
from imseek.unique_numbers import unique_numbers

Int32: TypeAlias = npt.NDArray[np.int32]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Bits: TypeAlias = npt.NDArray[np.uint8]

_PARTS: Final = 4
_WIDTH: Final = 16
_VALUES: Final = 1 << _WIDTH
#: Number of bits set in each value of a part.
_BIT_COUNTS: Final = count_bits(np.arange(_VALUES, dtype=np.uint64))
#: Number of comparisons held in memory at the same time, 32 bytes each.
_BATCH: Final = 1 << 20
#: Rows of buckets compared at the same time: what they take stays in a core's cache.
_ROWS: Final = 2048
#: At most this many hashes of a bucket are in its row, and one beyond takes as long as this many in a row.
_MAX_COLUMNS: Final = 64
_OVERFLOW_COST: Final = 5
#: A query is compared with at most this many hashes that share one value of a part. Random hashes would reach it
#: only at a hundred million; thousands of nearly blank pages do.
MAX_BUCKET: Final = 2048
#: A query stops once it has this many times the number of near hashes to keep. Those that agree best in one part
#: come first, so the nearest are likely, but not certain, to be among them.
_OVERSAMPLING: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class HammingMatches:
    """Matches: ``query`` (m,) and ``entry`` (m,) int64 positions in queries and table, ``distance`` (m,) uint8 in bits.

    Each pair occurs once. ``cut`` (q,) marks the queries for which a limit left something out.
    """

    query: Ids
    entry: Ids
    distance: Bits
    cut: npt.NDArray[np.bool_]


class MultiIndex:
    """Multi-index of distinct hashes (n,). Memory: 110 bytes per hash and 3 MB."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._parts = [_Part(hashes, part) for part in range(_PARTS)]

    def near(self, queries: Hashes, radius: int, most: int) -> HammingMatches:
        """For each of ``queries`` (q,), find the hashes within ``radius`` bits (0 to 31), at most the ``most`` nearest.

        Ties go to the first hashes. Exact, unless a query has four times as many matches as ``most``. Memory: 32 bytes
        for each of a million comparisons at a time, and 32 for each query times ``most``.
        """
        if not 0 <= radius < 32:
            raise ValueError(f"a radius of 0 to 31 bits, not {radius}")
        cut = np.zeros(len(queries), np.bool_)
        pairs, pending = [np.empty(0, np.int64)], 0
        for part, part_radius in zip(self._parts, _part_radii(radius), strict=True):
            if part_radius < 0 or not len(self.hashes):
                continue
            for batch in part.pairs(queries, part_radius, radius, _OVERSAMPLING * most, cut):
                pairs.append(batch)
                pending += len(batch)
                if pending > _BATCH + 4 * most * len(queries):
                    pairs, pending = [self._best(queries, pairs, most, cut)], 0
        query, at = np.divmod(self._best(queries, pairs, most, cut), max(1, len(self.hashes)))
        return HammingMatches(query, at, count_bits(queries[query] ^ self.hashes[at]), cut)

    def _best(self, queries: Hashes, pairs: list[Ids], most: int, cut: npt.NDArray[np.bool_]) -> Ids:
        """Remove repeated pairs (each encoded as one number), and keep the nearest ``most`` of each query."""
        unique_pairs = unique_numbers(*pairs)
        query, at = np.divmod(unique_pairs, max(1, len(self.hashes)))
        return unique_pairs[select_nearest(query, at, count_bits(queries[query] ^ self.hashes[at]), most, cut)]


class _Part:
    """Table of all hashes by one of their parts.

    A bucket has the hashes with one value of the part: ``_hashes`` (n,) from ``_starts`` (65,537,) of it on. The first
    of them are also its row of ``_rows`` (65,536, columns), filled up with zeros.
    """

    def __init__(self, hashes: Hashes, part: int) -> None:
        self._shift = np.uint64(part * _WIDTH)
        values = self._values(hashes)
        order = np.argsort(values, kind="stable")  # a radix sort for 16 bits
        self._order: Int32 = order.astype(np.int32)
        self._hashes = hashes[order]
        values = values[order]
        self._starts: Int32 = np.searchsorted(values, np.arange(_VALUES + 1)).astype(np.int32)
        columns = _choose_columns(np.diff(self._starts))
        column = np.arange(len(hashes)) - self._starts[values]
        fits = column < columns
        self._rows = np.zeros((_VALUES, columns), np.uint64)
        self._rows[values[fits], column[fits]] = self._hashes[fits]

    def _values(self, hashes: Hashes) -> npt.NDArray[np.uint16]:
        return (hashes >> self._shift).astype(np.uint16)

    def pairs(
        self, queries: Hashes, part_radius: int, radius: int, enough: int, cut: npt.NDArray[np.bool_]
    ) -> Iterator[Ids]:
        """Yield pairs that differ in at most ``part_radius`` bits of this part and ``radius`` in total.

        A pair is encoded as the position of the query times the number of hashes, plus the position of the hash. A
        query stops at ``enough`` pairs. ``cut`` is set for such queries, and for those that met an overfull bucket.
        """
        total = np.int64(len(self._order))
        order = np.argsort(self._values(queries), kind="stable")  # neighbouring queries read the same buckets
        values, columns = self._values(queries)[order], self._rows.shape[1]
        hashes = np.repeat(queries[order], columns).reshape(-1, columns)  # as wide as the rows they are compared with
        hits = np.zeros(len(order), np.int64)
        for change in bit_changes(part_radius):
            buckets = (values ^ change).astype(np.int64)
            sizes = self._starts[buckets + 1] - self._starts[buckets]
            if (crowded := sizes > MAX_BUCKET).any():
                cut[order[crowded]] = True
                sizes = np.minimum(sizes, MAX_BUCKET)
            for of, at in self._near_in_buckets(hashes, buckets, sizes, radius):
                counts = np.bincount(of, minlength=len(hits))
                if counts.max() > enough:
                    first = _ranks_in_groups(of, counts) < enough
                    of, at = of[first], at[first]
                hits += counts
                yield order[of] * total + self._order[at]
            if (full := hits >= enough).any():
                cut[order[full]] = True
                order, values, hashes, hits = order[~full], values[~full], hashes[~full], hits[~full]

    def _near_in_buckets(
        self, hashes: Hashes, buckets: Ids, sizes: Int32, radius: int
    ) -> Iterator[tuple[Ids, Integers]]:
        """Compare each query with the first ``sizes`` (q,) of its bucket; yield the near ones.

        ``hashes`` (q, columns) repeats each query's hash in every column. What is yielded are numbers of queries,
        ascending, and places in ``_hashes``.
        """
        columns = self._rows.shape[1]
        for start in range(0, len(hashes), _ROWS):
            part = slice(start, start + _ROWS)
            rows = np.take(self._rows, buckets[part], axis=0, mode="clip")  # twice as fast as with the bounds checked
            rows ^= hashes[part]
            of, column = np.divmod(np.flatnonzero(count_bits(rows) <= radius), columns)
            of += start
            is_filled = column < sizes[of]
            if is_filled.any():
                of = of[is_filled]
                yield of, self._starts[buckets[of]] + column[is_filled]
        overflow = np.flatnonzero(sizes > columns)
        starts, sizes = self._starts[buckets[overflow]] + columns, sizes[overflow] - columns
        for part in _batch_rows(sizes):
            of, at = expand_runs(starts[part], sizes[part])
            of = overflow[of + part.start]
            close = np.flatnonzero(count_bits(hashes[of, 0] ^ self._hashes[at]) <= radius)
            if close.size:
                yield of[close], at[close]


def _choose_columns(sizes: Int32) -> int:
    """Choose how many hashes of a bucket its row has, so that comparing takes the least time."""
    columns = np.arange(1, _MAX_COLUMNS + 1)
    buckets = np.bincount(np.minimum(sizes, MAX_BUCKET))
    beyond = np.maximum(np.arange(len(buckets)) - columns[:, np.newaxis], 0) @ buckets
    return int(columns[np.argmin(columns * len(sizes) + _OVERFLOW_COST * beyond)])


def _part_radii(radius: int) -> list[int]:
    """Return the search radius of each part in bits; -1 for a part that need not be searched."""
    spare = radius - _PARTS + 1
    if spare < 0:
        return [0] * (radius + 1) + [-1] * (_PARTS - radius - 1)
    return [spare // _PARTS + (part < spare % _PARTS) for part in range(_PARTS)]


def bit_changes(within: int) -> npt.NDArray[np.uint16]:
    """Return all 16-bit numbers with at most ``within`` bits set, fewest bits first."""
    order = np.argsort(_BIT_COUNTS, kind="stable")
    return order[: np.count_nonzero(within >= _BIT_COUNTS)].astype(np.uint16)


def expand_runs(starts: Integers, sizes: Integers) -> tuple[Ids, Ids]:
    """Expand runs given by ``starts`` (n,) and ``sizes``: return the run number and the position of every member."""
    ends = np.cumsum(sizes, dtype=np.int64)
    of = np.repeat(np.arange(len(sizes)), sizes)
    at = np.arange(int(ends[-1]) if len(ends) else 0)
    at += np.repeat(starts - (ends - sizes), sizes)
    return of, at


def _batch_rows(sizes: Int32) -> Iterator[slice]:
    """Split rows of these sizes into slices of about ``_BATCH`` elements in total."""
    ends = np.cumsum(sizes, dtype=np.int64)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH, "right")))
        yield slice(start, stop)
        start = stop


def select_nearest(query: Ids, entry: Ids, distance: Bits, most: int, cut: npt.NDArray[np.bool_]) -> Ids:
    """Return the rows to keep so that each query has at most ``most`` pairs, nearest first; ties go to the first.

    Pairs ascend by query. ``cut`` is set for queries that have more.
    """
    counts = np.bincount(query, minlength=len(cut))
    if not len(query) or counts.max() <= most:
        return np.arange(len(query))
    cut |= counts > most
    order = np.lexsort((entry, distance, query))
    return np.sort(order[_ranks_in_groups(query[order], counts) < most])


def _ranks_in_groups(groups: Ids, counts: Ids) -> Ids:
    """Return the rank of each member within its group, from 0; members are in group order, ``counts`` per group."""
    return np.arange(len(groups)) - (np.cumsum(counts) - counts)[groups]
