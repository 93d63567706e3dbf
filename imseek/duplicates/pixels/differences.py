"""Find where two pictures that lie over each other differ: what was added, covered or replaced in one of them.

Both are compared pixel by pixel at the grid of the coarser one, after gain and offset. A pixel is explained if its
level lies between the lowest and the highest of the other picture around it, so that neither resampling nor a shift by
a fraction of a pixel leaves a residual at edges; levels clipped in one picture have no bound in the other. What
is left is compared with the pair's own noise: compression and resizing leave as much in every textured part, an edit
leaves more in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.duplicates.pixels.orientations import INVERSE, BoxEdges, turn, turn_box
from imseek.duplicates.pixels.registration import Registration
from imseek.duplicates.pixels.resampling import Fit, Luminance, cut_overlap, find_overlap
from imseek.types.arrays import Float32

#: Side of a cell in pixels of the grid.
_CELL: Final = 5
#: Levels beyond which a picture is clipped.
_DARK: Final = 6.0
_BRIGHT: Final = 249.0
#: Least residual of a cell, in grey levels, and as a multiple of the pair's noise.
LEAST: Final = 20.0
NOISE_FACTOR: Final = 2.5
#: Quantile of textured cells that tells the noise, and the contrast from which a cell is textured.
_QUANTILE: Final = 0.75
_TEXTURE: Final = 12.0
#: Pixels at the border of the overlap that are not compared: resampling has no full support there.
_MARGIN: Final = 2
#: Greatest number of places.
PLACES: Final = 4


@dataclass(frozen=True, slots=True)
class PlaceInBoth:
    """Where two pictures differ: the edges of a rectangle, in shares of the sides of each picture."""

    a: BoxEdges
    b: BoxEdges


#: Up to PLACES places as bytes, for arrays and caches: the edges of each in both pictures, in 255ths.
PACKED_PLACES: Final = np.dtype(f"V{8 * PLACES}")


def pack_places(places: Sequence[PlaceInBoth]) -> bytes:
    edges = [round(255 * edge) for place in places[:PLACES] for edge in (*place.a, *place.b)]
    return bytes(edges).ljust(PACKED_PLACES.itemsize, b"\0")


def unpack_places(packed: bytes) -> tuple[PlaceInBoth, ...]:
    edges = [value / 255 for value in packed]
    boxes = [(edges[n], edges[n + 1], edges[n + 2], edges[n + 3]) for n in range(0, len(edges), 4)]
    return tuple(PlaceInBoth(a, b) for a, b in zip(boxes[::2], boxes[1::2], strict=True) if a[2] > 0)


@dataclass(frozen=True, slots=True)
class Residual:
    """What is left of two pictures that lie over each other.

    ``cells`` (rows, columns) is the greatest smoothed residual of each cell in grey levels, ``noise`` that of textured
    cells where the pictures do not differ, ``textured`` the share of these. ``top`` and ``left`` are the origin in
    pixels of the grid.
    """

    cells: Float32
    noise: float
    textured: float
    top: int
    left: int


def measure_residual(a: Luminance, b: Luminance, fit: Fit) -> Residual | None:
    """Compare two pictures where ``b`` lies over ``a`` by ``fit``; None if there is too little to compare."""
    shared = find_overlap(a, b, fit)
    if min(shared.height, shared.width) < 3 * _CELL + 2 * _MARGIN:
        return None
    first, second = cut_overlap(a, b, shared, fit)
    gain, offset = _fit_levels(second, first)
    residual = np.maximum(
        _unexplained(first, second, gain, offset), _unexplained(second, first, 1 / gain, -offset / gain) * gain
    )
    residual = _mean3(residual[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])
    contrast = np.minimum(_range3(first), gain * _range3(second))[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    cells = _cell_maxima(residual)
    textured = _cell_maxima(contrast) >= _TEXTURE
    noise = float(np.quantile(cells[textured], _QUANTILE)) if textured.any() else 0.0
    return Residual(cells, noise, float(textured.mean()), shared.top + _MARGIN, shared.left + _MARGIN)


def find_places(a: Luminance, b: Luminance, laid: Registration) -> tuple[PlaceInBoth, ...]:
    """Return where two pictures differ that were ``laid`` over each other, the largest place first; () if nowhere."""
    if laid.fit is None:
        return ()
    turned = np.ascontiguousarray(turn(b, INVERSE[laid.orientation]))
    # The grid is the coarser picture's.
    swapped = laid.fit.sy * laid.fit.sx < 1
    one, other, fit = (turned, a, laid.fit.inverse()) if swapped else (a, turned, laid.fit)
    residual = measure_residual(one, other, fit)
    if residual is None:
        return ()
    places = []
    for top, left, bottom, right in _find_boxes(residual):
        here = top / one.shape[0], left / one.shape[1], bottom / one.shape[0], right / one.shape[1]
        there = (
            (fit.sy * top + fit.ty) / other.shape[0],
            (fit.sx * left + fit.tx) / other.shape[1],
            (fit.sy * bottom + fit.ty) / other.shape[0],
            (fit.sx * right + fit.tx) / other.shape[1],
        )
        in_a, in_b = (there, here) if swapped else (here, there)
        places.append(PlaceInBoth(_clip(in_a), _clip(turn_box(in_b, laid.orientation))))
    return tuple(places)


def _clip(box: BoxEdges) -> BoxEdges:
    top, left, bottom, right = (min(1.0, max(0.0, edge)) for edge in box)
    return top, left, bottom, right


def _find_boxes(residual: Residual) -> list[tuple[int, int, int, int]]:
    """Return the edges of the places that stand out, in pixels of the grid, the largest first."""
    least = max(LEAST, NOISE_FACTOR * residual.noise)
    boxes = []
    for rows, columns in _connected(residual.cells >= least / 2):
        if (residual.cells[rows, columns] >= least).any():
            top, bottom = int(rows.min()), int(rows.max()) + 1
            left, right = int(columns.min()), int(columns.max()) + 1
            boxes.append((top, left, bottom, right))
    boxes.sort(key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box))
    down, right_origin = residual.top, residual.left
    return [
        (down + _CELL * top, right_origin + _CELL * left, down + _CELL * bottom, right_origin + _CELL * right)
        for top, left, bottom, right in boxes[:PLACES]
    ]


def _connected(marked: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows and columns of each set of marked cells that touch, corners included."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(marked), strict=True)}
    found = []
    while left:
        front = [left.pop()]
        cells = []
        while front:
            row, column = front.pop()
            cells.append((row, column))
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            front += near
        rows, columns = np.array(cells).T
        found.append((rows, columns))
    return found


def _fit_levels(x: Luminance, y: Luminance) -> tuple[float, float]:
    """Fit gain and offset that map ``x`` to ``y``: by least squares over what is clipped in neither, then again
    without what fits badly."""
    inside = (x > _DARK) & (x < _BRIGHT) & (y > _DARK) & (y < _BRIGHT)
    if np.count_nonzero(inside) < 50:
        return 1.0, 0.0
    one, other = x[inside], y[inside]
    gain, offset = 1.0, 0.0
    for _ in range(3):
        mean_x, mean_y = float(one.mean()), float(other.mean())
        centred = one - mean_x
        square = float(centred @ centred)
        gain = float(centred @ (other - mean_y)) / square if square > 0 else 1.0
        gain = min(4.0, max(0.25, gain))
        offset = mean_y - gain * mean_x
        error = np.abs(other - gain * one - offset)
        fits = error <= 2.5 * float(np.median(error)) + 1
        if fits.all() or np.count_nonzero(fits) < 50:
            break
        one, other = one[fits], other[fits]
    return gain, offset


def _unexplained(picture: Luminance, by: Luminance, gain: float, offset: float) -> Float32:
    """Return how far each level of ``picture`` lies outside of the levels of ``by`` around it, after gain and
    offset."""
    low, high = _extremes3(by)
    lowest = np.where(low <= _DARK, -np.inf, np.float32(gain) * low + np.float32(offset))
    highest = np.where(high >= _BRIGHT, np.inf, np.float32(gain) * high + np.float32(offset))
    return np.asarray(np.maximum(np.maximum(lowest - picture, picture - highest), 0), np.float32)


def _extremes3(picture: Luminance) -> tuple[Float32, Float32]:
    """Return the lowest and the highest level of the 3 × 3 pixels around each."""
    low, high = picture.copy(), picture.copy()
    for axis in (0, 1):
        low, high = (_spread3(values, axis, of) for values, of in ((low, np.minimum), (high, np.maximum)))
    return low, high


def _spread3(values: Float32, axis: int, of: np.ufunc) -> Float32:
    moved = np.moveaxis(values, axis, 0)
    spread = moved.copy()
    of(spread[1:], moved[:-1], out=spread[1:])
    of(spread[:-1], moved[1:], out=spread[:-1])
    return np.moveaxis(spread, 0, axis)


def _range3(picture: Luminance) -> Float32:
    low, high = _extremes3(picture)
    return high - low


def _mean3(picture: Float32) -> Float32:
    padded = np.pad(picture, 1, mode="edge")
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray((across[:-2] + across[1:-1] + across[2:]) / 9, np.float32)


def _cell_maxima(picture: Float32) -> Float32:
    rows, columns = (np.arange(0, side - _CELL + 1, _CELL) for side in picture.shape)
    return np.asarray(np.maximum.reduceat(np.maximum.reduceat(picture, rows, axis=0), columns, axis=1), np.float32)
