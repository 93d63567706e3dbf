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
                numbers = np.flatnonzero(mask)
                self._table[segment.ids[numbers]] = numbers + start

    def rows(self, ids: Ids, out: Float16 | None = None) -> tuple[Ids, Float16]:
        """Return those of ``ids`` (m,) that are live, in their order, and their stored rows (n, dim).

        The rows are written to ``out``, if it is given and has room for ``m`` of them.
        """
        positions = self._bisect(ids) if self._table is None else self._look_up(ids, self._table)
        is_found = positions >= 0
        ids, positions = ids[is_found], positions[is_found]
        if out is None or len(out) < len(positions):
            out = np.empty((len(positions), self._dim), np.float16)
        rows = out[: len(positions)]
        if (positions[1:] > positions[:-1]).all():
            self._gather(positions, rows)
        else:  # Ids need not ascend from one segment to the next.
            order = np.argsort(positions)
            ascending = np.empty_like(rows)
            self._gather(positions[order], ascending)
            rows[order] = ascending
        return ids, rows

    def _gather(self, positions: Ids, out: Float16) -> None:
        """Write the rows at ascending positions in all segments to ``out``."""
        bounds = np.searchsorted(positions, self._starts).tolist()
        for n, segment in enumerate(self._segments):
            start, end = bounds[n], bounds[n + 1]
            if start < end:
                self._residence.gather_rows(segment.rows, positions[start:end] - self._starts[n], out[start:end])

    @staticmethod
    def _look_up(ids: Ids, table: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Ids:
        positions = np.full(len(ids), -1, np.int64)
        is_inside = (ids >= 0) & (ids < len(table))
        positions[is_inside] = table[ids[is_inside]]
        return positions

    def _bisect(self, ids: Ids) -> Ids:
        positions = np.full(len(ids), -1, np.int64)
        for segment, mask, start in zip(self._segments, self._live, self._starts.tolist(), strict=False):
            if len(segment.ids):
                rows = np.minimum(np.searchsorted(segment.ids, ids), len(segment.ids) - 1)
                is_match = (segment.ids[rows] == ids) & mask[rows]
                positions[is_match] = rows[is_match] + start
        return positions
