"""Which perceptual hashes are near each other, without comparing each with each.

Multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast exact search in Hamming space with multi-index
hashing", TPAMI 2014): two hashes of 64 bits that differ in at most r of them differ, in at least one of four parts of
16 bits, in at most t of that part, where the four t may add up to r - 3 (else each part would differ in one bit more
than its t, and these add up to r + 1). So every hash is looked up under the few values that its parts can have,
in tables of all hashes by part, and what lies there is compared.

It is done with arrays: for each way to change a part, all queries at once. FAISS's multi-index hashing asks query by
query: bench/duplicates_scale.py has both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.curate.unique_contents import Hashes, Ids
from imseek.search.near_duplicates import count_bits

Int32: TypeAlias = npt.NDArray[np.int32]
Whole: TypeAlias = npt.NDArray[np.integer[Any]]
Bits: TypeAlias = npt.NDArray[np.uint8]

_PARTS: Final = 4
_WIDTH: Final = 16
_VALUES: Final = 1 << _WIDTH
#: How many bits of each value of a part are set.
_ONES: Final = count_bits(np.arange(_VALUES, dtype=np.uint64))
#: Comparisons that are held at the same time: 32 bytes each.
_HELD: Final = 1 << 20
#: Of the hashes that have one value in a part, as many are compared with one query. Were hashes random, there would be
#: a hundred million before a value had so many; thousands of nearly blank pages have them.
CROWD: Final = 2048
#: Of a query that has so many times as many near hashes as are kept no more are looked for: those that agree best in a
#: part come first, so that the nearest are likely, but not certain, to be among them.
_ENOUGH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """``query`` (m,) and ``found`` (m,) int64 are positions in what was asked and in the table, ``distance`` (m,) uint8
    the bits that differ, each pair once. ``cut`` (q,) tells of which queries a bound left something out."""

    query: Ids
    found: Ids
    distance: Bits
    cut: npt.NDArray[np.bool_]


class Table:
    """Hashes (n,), each once, in tables by part. Memory: 56 bytes a hash and 1 MB."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._parts = [_Part(hashes, part) for part in range(_PARTS)]

    def near(self, queries: Hashes, radius: int, most: int) -> Near:
        """For each of ``queries`` (q,) the hashes within ``radius`` bits (0 to 31), at most ``most`` of them, the
        nearest ones (the first ones, of those that are as near): exactly, unless a query has four times as many.

        Memory: 32 bytes for each of a million comparisons at a time, 32 for each query times ``most``.
        """
        if not 0 <= radius < 32:
            raise ValueError(f"a radius of 0 to 31 bits, not {radius}")
        cut = np.zeros(len(queries), np.bool_)
        pairs, waiting = [np.empty(0, np.int64)], 0
        for part, within in zip(self._parts, _within(radius), strict=True):
            if within < 0 or not len(self.hashes):
                continue
            for found in part.pairs(queries, within, radius, _ENOUGH * most, cut):
                pairs.append(found)
                waiting += len(found)
                if waiting > _HELD + 4 * most * len(queries):
                    pairs, waiting = [self._best(queries, pairs, most, cut)], 0
        query, at = np.divmod(self._best(queries, pairs, most, cut), max(1, len(self.hashes)))
        return Near(query, at, count_bits(queries[query] ^ self.hashes[at]), cut)

    def _best(self, queries: Hashes, pairs: list[Ids], most: int, cut: npt.NDArray[np.bool_]) -> Ids:
        """Pairs (each one number) without those that are there twice, and the nearest ``most`` of each query."""
        found = np.unique(np.concatenate(pairs))
        query, at = np.divmod(found, max(1, len(self.hashes)))
        return found[nearest(query, at, count_bits(queries[query] ^ self.hashes[at]), most, cut)]


class _Part:
    """All hashes by one of their parts."""

    def __init__(self, hashes: Hashes, part: int) -> None:
        self._shift = np.uint64(part * _WIDTH)
        values = self._values(hashes)
        order = np.argsort(values, kind="stable")  # a radix sort, for 16 bits
        self._order: Int32 = order.astype(np.int32)
        self._hashes = hashes[order]
        self._starts: Int32 = np.searchsorted(values[order], np.arange(_VALUES + 1)).astype(np.int32)

    def _values(self, hashes: Hashes) -> npt.NDArray[np.uint16]:
        return (hashes >> self._shift).astype(np.uint16)

    def pairs(
        self, queries: Hashes, within: int, radius: int, enough: int, cut: npt.NDArray[np.bool_]
    ) -> Iterator[Ids]:
        """Pairs of which this part differs in at most ``within`` bits, and the whole in at most ``radius``: position of
        the query times the number of hashes, plus that of the hash.

        Of a query that has ``enough`` of them no more are looked for. ``cut`` is set for those, and for queries that
        met a crowd.
        """
        total = np.int64(len(self._order))
        order = np.argsort(self._values(queries), kind="stable")  # neighbours look in the same places
        values, asked = self._values(queries)[order], queries[order]
        hits = np.zeros(len(order), np.int64)
        for change in changes(within):
            looked = values ^ change
            starts, sizes = self._starts[looked], self._starts[looked.astype(np.int32) + 1]
            sizes = sizes - starts
            crowded = sizes > CROWD
            if crowded.any():
                cut[order[crowded]] = True
                sizes = np.minimum(sizes, CROWD)
            for rows in _shares(sizes):
                of, at = spread(starts[rows], sizes[rows])
                of += rows.start
                near = np.flatnonzero(count_bits(asked[of] ^ self._hashes[at]) <= radius)
                if near.size:
                    counts = np.bincount(of[near], minlength=len(hits))
                    if counts.max() > enough:
                        near = near[_places(of[near], counts) < enough]
                    hits += counts
                    yield order[of[near]] * total + self._order[at[near]]
            if (full := hits >= enough).any():
                cut[order[full]] = True
                order, values, asked, hits = order[~full], values[~full], asked[~full], hits[~full]


def _within(radius: int) -> list[int]:
    """In how many bits each part may differ; -1: it need not be looked at."""
    spare = radius - _PARTS + 1
    if spare < 0:
        return [0] * (radius + 1) + [-1] * (_PARTS - radius - 1)
    return [spare // _PARTS + (part < spare % _PARTS) for part in range(_PARTS)]


def changes(within: int) -> npt.NDArray[np.uint16]:
    """All 16-bit numbers of which at most ``within`` bits are set, those of fewest bits first."""
    order = np.argsort(_ONES, kind="stable")
    return order[: np.count_nonzero(within >= _ONES)].astype(np.uint16)


def spread(starts: Whole, sizes: Whole) -> tuple[Ids, Ids]:
    """Of runs that begin at ``starts`` (n,) and are as long as ``sizes``: the number of the run and the place, of all
    their members one after another."""
    ends = np.cumsum(sizes, dtype=np.int64)
    of = np.repeat(np.arange(len(sizes)), sizes)
    at = np.arange(int(ends[-1]) if len(ends) else 0)
    at += np.repeat(starts - (ends - sizes), sizes)
    return of, at


def _shares(sizes: Int32) -> Iterator[slice]:
    """Cuts rows of these sizes into runs of about ``_HELD`` in all."""
    ends = np.cumsum(sizes, dtype=np.int64)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _HELD, "right")))
        yield slice(start, stop)
        start = stop


def nearest(query: Ids, found: Ids, distance: Bits, most: int, cut: npt.NDArray[np.bool_]) -> Ids:
    """Which of some pairs, ascending by query, to keep, so that each query has at most ``most``: the nearest, the first
    where some are as near. ``cut`` is set for those that have more."""
    counts = np.bincount(query, minlength=len(cut))
    if not len(query) or counts.max() <= most:
        return np.arange(len(query))
    cut |= counts > most
    order = np.lexsort((found, distance, query))
    return np.sort(order[_places(query[order], counts) < most])


def _places(groups: Ids, counts: Ids) -> Ids:
    """Of members of groups, which come in order, ``counts`` of each: the place of each within its group, from 0."""
    return np.arange(len(groups)) - (np.cumsum(counts) - counts)[groups]
