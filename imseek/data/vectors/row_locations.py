"""Locate the row of each live image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imseek.data.vectors.base import Bools, Float16, Ids, Segment
from imseek.data.vectors.mmap_residency import ResidencyLimiter

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

    def rows(self, ids: Ids, out: Float16 | None = None) -> tuple[Ids, Float16]:
        """Return those of ``ids`` (m,) that are live, in their order, and their stored rows (n, dim).

        The rows are written to ``out``, if it is given and has room for ``m`` of them.
        """
        at = self._bisected(ids) if self._table is None else self._looked_up(ids, self._table)
        found = at >= 0
        ids, at = ids[found], at[found]
        if out is None or len(out) < len(at):
            out = np.empty((len(at), self._dim), np.float16)
        rows = out[: len(at)]
        if (at[1:] > at[:-1]).all():
            self._gather(at, rows)
        else:  # Ids need not ascend from one segment to the next.
            order = np.argsort(at)
            ascending = np.empty_like(rows)
            self._gather(at[order], ascending)
            rows[order] = ascending
        return ids, rows

    def _gather(self, at: Ids, out: Float16) -> None:
        """Write the rows at ascending positions in all segments to ``out``."""
        bounds = np.searchsorted(at, self._starts).tolist()
        for n, segment in enumerate(self._segments):
            start, end = bounds[n], bounds[n + 1]
            if start < end:
                self._residence.gather_rows(segment.rows, at[start:end] - self._starts[n], out[start:end])

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
