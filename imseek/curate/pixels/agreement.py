"""How well two pictures agree that lie over each other, tile by tile.

What two pictures of one class share - a white ground, a page's layout, an outline - makes a high correlation over all.
So that is asked tile by tile, of what is left when the mean of each row and of each column of a tile is taken away:
lines of text make stripes, axes and frames make lines, but which words and which curves they are is in the rest.
Another shot of the same scene agrees in most tiles, but they have moved against each other; copies have not: `drift`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.curate.pixels.resampling import Look, affine
from imseek.types import Float32

#: A tile is about so many pixels wide.
_TILE: Final = 14
#: Grey levels (standard deviation) that compression and rounding make where there is nothing to see.
NOISE: Final = 3.0
#: The same in what is left of a tile without the means of its rows and columns; and from where on more of it is not
#: more to see, so that a line of text written over a picture does not outweigh it.
_FAINT: Final = 1.0
_PLAIN: Final = 4.0
#: Up to this share of a picture's height or width may be written over.
_BAND: Final = 0.3


@dataclass(frozen=True, slots=True)
class Band:
    """Rows (or columns) of ``a`` from ``start`` to before ``stop``, all the way across (down)."""

    across: bool
    start: int
    stop: int

    def over(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray | slice]:
        """Index of its pixels in what is cut out of ``a`` by these rows and columns."""
        along = rows if self.across else columns
        inside = (along >= self.start) & (along < self.stop)
        return (inside, slice(None)) if self.across else (slice(None), inside)


@dataclass(frozen=True, slots=True)
class Tiled:
    """What the tiles say: of all, and of the rest without ``band``. Drift is in pixels."""

    agreement: float
    drift: float
    detail: float
    rest: float
    rest_drift: float
    band: Band | None = None


def by_tiles(first: Look, second: Look, top: int, left: int) -> Tiled:
    """Of two pictures of one size that lie over each other, cut out of ``a`` from row ``top``, column ``left`` on."""
    gain, offset = affine(second, first)
    error = first - gain * second - offset
    down, right = np.gradient(gain * second)
    tiles = _Tiles(first.shape[0], first.shape[1])
    a, b = tiles.own(_smoothed(first)), tiles.own(_smoothed(second))
    var_a, var_b = tiles.means(a * a), tiles.means(b * b)
    alike = np.clip(tiles.means(a * b) / (np.sqrt(var_a * var_b) + _FAINT**2), 0, 1)
    seen = np.maximum(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0)
    weight = np.minimum(seen, _PLAIN) * tiles.area
    if weight.sum() <= 0:
        return Tiled(0.0, 0.0, 0.0, 0.0, 0.0)
    agreement = float((weight * alike).sum() / weight.sum())
    # The shift of each tile that takes most of its error away; nothing to see holds it at 0.
    yy, xx, xy = tiles.means(down * down), tiles.means(right * right), tiles.means(down * right)
    ye, xe = tiles.means(down * error), tiles.means(right * error)
    held = NOISE**2 / 4
    determinant = (yy + held) * (xx + held) - xy**2
    shift_y = ((xx + held) * ye - xy * xe) / determinant
    shift_x = ((yy + held) * xe - xy * ye) / determinant
    shifts = np.hypot(shift_y, shift_x)
    drift = _weighed_median(shifts, weight)
    detail = float((seen * tiles.area).sum() / tiles.area.sum())
    rest, across, start, stop = _without_a_band(alike, weight)
    if rest <= agreement:
        return Tiled(agreement, drift, detail, agreement, drift)
    kept = weight.copy()
    kept[(slice(start, stop), slice(None)) if across else (slice(None), slice(start, stop))] = 0
    edges, origin = (tiles.rows, top) if across else (tiles.columns, left)
    band = Band(across, origin + int(edges[start]), origin + int(edges[stop]))
    return Tiled(agreement, drift, detail, rest, _weighed_median(shifts, kept), band)


def _without_a_band(alike: np.ndarray, weight: np.ndarray) -> tuple[float, bool, int, int]:
    """The greatest agreement of what is beside a band, whether the band goes across, and its first and last but one
    row (column) of tiles. What is beside must be a quarter of all there is to see, or it is no evidence."""
    best = (0.0, True, 0, 0)
    for across in (True, False):
        right, total = (
            np.append(0.0, values.sum(axis=1 if across else 0).cumsum())
            for values in (weight * alike, weight)
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
    """A picture cut into tiles of about equal size, two at least in either direction."""

    def __init__(self, height: int, width: int) -> None:
        rows, columns = (
            np.linspace(0, side, max(2, round(side / _TILE)) + 1).astype(np.int64) for side in (height, width)
        )
        self.rows, self.columns = rows, columns
        self._rows, self._columns = rows[:-1], columns[:-1]
        self._heights, self._widths = np.diff(rows)[:, None], np.diff(columns)[None]
        self.area = self._heights * self._widths

    def means(self, picture: np.ndarray) -> np.ndarray:
        """(tiles down, tiles across)."""
        rows = np.add.reduceat(picture, self._rows, axis=0)
        return np.asarray(np.add.reduceat(rows, self._columns, axis=1) / self.area)

    def own(self, picture: Look) -> np.ndarray:
        """The picture less the mean of each row and column of each tile."""
        across = np.add.reduceat(picture, self._columns, axis=1) / self._widths
        along = np.add.reduceat(picture, self._rows, axis=0) / self._heights
        mean = np.add.reduceat(across, self._rows, axis=0) / self._heights
        plain = np.repeat(across - np.repeat(mean, self._heights[:, 0], axis=0), self._widths[0], axis=1)
        left: np.ndarray = picture - plain - np.repeat(along, self._heights[:, 0], axis=0)
        return left


def _smoothed(picture: Look) -> Float32:
    """By (1, 2, 1) / 4 along either axis: what is finest is what resizing leaves of it, and no two ways agree on it."""
    padded = np.pad(picture, 1, mode="edge")
    along = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]) / 16, np.float32)


def _weighed_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = values.argsort(axis=None)
    passed = weights.reshape(-1)[order].cumsum()
    return float(values.reshape(-1)[order][int(np.searchsorted(passed, passed[-1] / 2))])
