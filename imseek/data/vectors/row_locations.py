"""Locate the row of each live image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imseek.data.vectors.base import Bools, Float16, Ids, Segment
from imseek.data.vectors.memory_maps import ResidencyLimiter

#: Ids sparser than one in this many are looked up by bisection.
_SPREAD = 64


class RowLocations:
    """Looks up rows by id. ``live`` marks (n,) the rows of each segment that may be found."""

    def __init__(
        self, segments: Sequence[Segment], live: Sequence[Bools], dim: int, residence: ResidencyLimiter
    ) -> None:
        self._segments = tuple(segments)
        self._live = tuple(live)
        self._dim = dim
        self._residence = residence
        self._starts = np.cumsum([0, *(len(s.ids) for s in segments)])
        count = int(self._starts[-1])
        last = max((int(s.ids[-1]) for s in segments if len(s.ids)), default=-1)
        first = min((int(s.ids[0]) for s in segments if len(s.ids)), default=0)
        dense = first >= 0 and last < _SPREAD * count + (1 << 16) and count < 1 << 31
        self._table = np.full(last + 1, -1, np.int32) if dense else None
        if self._table is not None:
            for segment, mask, start in zip(segments, live, self._starts.tolist(), strict=False):
                at = np.flatnonzero(mask)
                self._table[segment.ids[at]] = at + start

    def rows(self, ids: Ids) -> tuple[Ids, Float16]:
        """Return those of ``ids`` (m,) that are live, in their order, and their stored rows (n, dim)."""
        at = self._bisected(ids) if self._table is None else self._looked_up(ids, self._table)
        found = at >= 0
        ids, at = ids[found], at[found]
        if len(self._segments) == 1:
            return ids, self._residence.gather_rows(self._segments[0].rows, at)
        rows = np.empty((len(at), self._dim), np.float16)
        of = np.searchsorted(self._starts, at, "right") - 1
        for n in np.unique(of).tolist():
            mine = of == n
            rows[mine] = self._residence.gather_rows(self._segments[n].rows, at[mine] - self._starts[n])
        return ids, rows

    @staticmethod
    def _looked_up(ids: Ids, table: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Ids:
        at = np.full(len(ids), -1, np.int64)
        inside = (ids >= 0) & (ids < len(table))
        at[inside] = table[ids[inside]]
        return at

    def _bisected(self, ids: Ids) -> Ids:
        at = np.full(len(ids), -1, np.int64)
        for segment, mask, start in zip(self._segments, self._live, self._starts.tolist(), strict=False):
            if len(segment.ids):
                rows = np.minimum(np.searchsorted(segment.ids, ids), len(segment.ids) - 1)
                held = (segment.ids[rows] == ids) & mask[rows]
                at[held] = rows[held] + start
        return at
