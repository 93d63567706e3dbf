"""Measure tile by tile how well two overlaid pictures agree.

What two pictures of one class share (a white ground, a page layout, an outline) makes their overall correlation high.
So agreement is measured per tile, after subtracting the mean of each row and column of the tile: lines of text make
stripes, and axes and frames make lines, but which words and curves they are shows in the remainder. Another shot of the
same scene agrees in most tiles, but the tiles have moved relative to each other; those of copies have not: `drift`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.duplicates.pixels.resampling import Luminance, fit_gain_offset
from imseek.types.arrays import Float32

#: Approximate width of a tile in pixels.
_TILE: Final = 14
#: Standard deviation, in grey levels, that compression and rounding cause in blank areas.
NOISE: Final = 3.0
#: The same after subtracting row and column means of a tile; and the level above which a tile gains no more weight,
#: so that a line of text written over a picture does not outweigh it.
_FAINT: Final = 1.0
_PLAIN: Final = 4.0
#: Largest share of a picture's height or width that an overlay may cover.
_BAND: Final = 0.3


@dataclass(frozen=True, slots=True)
class Band:
    """Rows (or columns) of ``a`` from ``start`` to before ``stop``, over its whole width (or height)."""

    across: bool
    start: int
    stop: int

    def over(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray | slice]:
        """Return an index of the band's pixels in the part of ``a`` cut out by these rows and columns."""
        along = rows if self.across else columns
        inside = (along >= self.start) & (along < self.stop)
        return (inside, slice(None)) if self.across else (slice(None), inside)


@dataclass(frozen=True, slots=True)
class TileAgreement:
    """Agreement, drift (in pixels) and detail of all tiles, and of the rest without ``band``."""

    agreement: float
    drift: float
    detail: float
    rest: float
    rest_drift: float
    band: Band | None = None


def compare_tiles(first: Luminance, second: Luminance, top: int, left: int) -> TileAgreement:
    """Compare two overlaid pictures of one size, cut out of ``a`` from row ``top`` and column ``left``."""
    gain, offset = fit_gain_offset(second, first)
    error = first - gain * second - offset
    down, right = np.gradient(gain * second)
    tiles = _Tiles(first.shape[0], first.shape[1])
    a, b = tiles.own(_smooth(first)), tiles.own(_smooth(second))
    var_a, var_b = tiles.means(a * a), tiles.means(b * b)
    alike = np.clip(tiles.means(a * b) / (np.sqrt(var_a * var_b) + _FAINT**2), 0, 1)
    seen = np.maximum(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0)
    weight = np.minimum(seen, _PLAIN) * tiles.area
    if weight.sum() <= 0:
        return TileAgreement(0.0, 0.0, 0.0, 0.0, 0.0)
    agreement = float((weight * alike).sum() / weight.sum())
    # The shift of each tile that removes most of its error; blank tiles stay at 0.
    yy, xx, xy = tiles.means(down * down), tiles.means(right * right), tiles.means(down * right)
    ye, xe = tiles.means(down * error), tiles.means(right * error)
    held = NOISE**2 / 4
    determinant = (yy + held) * (xx + held) - xy**2
    shift_y = ((xx + held) * ye - xy * xe) / determinant
    shift_x = ((yy + held) * xe - xy * ye) / determinant
    shifts = np.hypot(shift_y, shift_x)
    drift = _weighted_median(shifts, weight)
    detail = float((seen * tiles.area).sum() / tiles.area.sum())
    rest, across, start, stop = _find_best_band(alike, weight)
    if rest <= agreement:
        return TileAgreement(agreement, drift, detail, agreement, drift)
    kept = weight.copy()
    kept[(slice(start, stop), slice(None)) if across else (slice(None), slice(start, stop))] = 0
    edges, origin = (tiles.rows, top) if across else (tiles.columns, left)
    band = Band(across, origin + int(edges[start]), origin + int(edges[stop]))
    return TileAgreement(agreement, drift, detail, rest, _weighted_median(shifts, kept), band)


def _find_best_band(alike: np.ndarray, weight: np.ndarray) -> tuple[float, bool, int, int]:
    """Find the band whose removal gives the highest agreement.

    Returns that agreement, whether the band runs across, and its first and end row (or column) of tiles. The rest must
    hold a quarter of all detail, or it is no evidence.
    """
    best = (0.0, True, 0, 0)
    for across in (True, False):
        right, total = (
            np.append(0.0, values.sum(axis=1 if across else 0).cumsum()) for values in (weight * alike, weight)
        )
        for width in range(1, math.ceil(_BAND * (len(total) - 1)) + 1):
            kept = total[-1] - total[width:] + total[:-width]
            shares = (right[-1] - right[width:] + right[:-width]) / np.maximum(kept, 1e-9)
            shares[kept < total[-1] / 4] = 0
            start = int(shares.argmax())
            if shares[start] > best[0]:
                best = (float(shares[start]), across, start, start + width)
    return best


class _Tiles:
    """A grid of tiles of about equal size, at least two in each direction."""

    def __init__(self, height: int, width: int) -> None:
        rows, columns = (
            np.linspace(0, side, max(2, round(side / _TILE)) + 1).astype(np.int64) for side in (height, width)
        )
        self.rows, self.columns = rows, columns
        self._rows, self._columns = rows[:-1], columns[:-1]
        self._heights, self._widths = np.diff(rows)[:, None], np.diff(columns)[None]
        self.area = self._heights * self._widths

    def means(self, picture: np.ndarray) -> np.ndarray:
        """Return the mean of each tile, (tiles down, tiles across)."""
        rows = np.add.reduceat(picture, self._rows, axis=0)
        return np.asarray(np.add.reduceat(rows, self._columns, axis=1) / self.area)

    def own(self, picture: Luminance) -> np.ndarray:
        """Subtract from a picture the mean of each row and column of each tile."""
        across = np.add.reduceat(picture, self._columns, axis=1) / self._widths
        along = np.add.reduceat(picture, self._rows, axis=0) / self._heights
        mean = np.add.reduceat(across, self._rows, axis=0) / self._heights
        plain = np.repeat(across - np.repeat(mean, self._heights[:, 0], axis=0), self._widths[0], axis=1)
        left: np.ndarray = picture - plain - np.repeat(along, self._heights[:, 0], axis=0)
        return left


def _smooth(picture: Luminance) -> Float32:
    """Smooth with (1, 2, 1) / 4 along both axes: the finest detail is an artefact of resizing, which differs between
    methods."""
    padded = np.pad(picture, 1, mode="edge")
    along = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]) / 16, np.float32)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = values.argsort(axis=None)
    passed = weights.reshape(-1)[order].cumsum()
    return float(values.reshape(-1)[order][int(np.searchsorted(passed, passed[-1] / 2))])
