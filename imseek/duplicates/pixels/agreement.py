"""Measure tile by tile how well two overlaid pictures agree.

What two pictures of one class share (a white ground, a page layout, an outline) makes their overall correlation high.
So agreement is measured per tile, after subtracting the mean of each row and column of the tile: lines of text make
stripes, and axes and frames make lines, but which words and curves they are shows in the remainder. Another shot of the
same scene agrees in most tiles, but the tiles have moved relative to each other; those of copies have not: `drift`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.resampling import Luminance, find_gradient
from imseek.types.arrays import Float32

#: Approximate width of a tile in pixels.
_TILE: Final = 14
#: Standard deviation, in grey levels, that compression and rounding cause in blank areas.
NOISE: Final = 3.0
#: The same after subtracting row and column means of a tile; and the level above which a tile gains no more weight,
#: so that a line of text written over a picture does not outweigh it.
_FAINT: Final = 1.0
_PLAIN: Final = 4.0
#: Below this agreement, text may be written over one picture if the rest agrees better.
OVERLAY_AGREEMENT: Final = 0.85
#: From this agreement on nothing is written over one picture; below the other, how far tiles have moved tells nothing.
_ALIKE: Final = 0.95
_UNLIKE: Final = 0.5
#: A tile agrees if it correlates at least this well. It is in place if, besides, it has moved by at most this many
#: pixels, measured with the levels of the agreeing tiles. If these have less than this share of the weight, they are
#: no evidence.
_AGREES: Final = 0.8
_IN_PLACE: Final = 0.12
FEW: Final = 0.1
#: Middle grey.
_GREY: Final = 128.0
#: Largest share of a picture's height or width that an overlay may cover.
_BAND: Final = 0.3


@dataclass(frozen=True, slots=True)
class Band:
    """Rows (or columns) of ``a`` from ``start`` to before ``stop``, over its whole width (or height)."""

    across: bool
    start: int
    stop: int

    def outside(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return which pixels of ``a``, of this shape, lie outside the band."""
        outside = np.ones(shape, np.bool_)
        # A view: rows of it are rows or columns.
        (outside if self.across else outside.T)[self.start : self.stop] = False
        return outside


@dataclass(frozen=True, slots=True, eq=False)
class TileAgreement:
    """Agreement, drift (in pixels) and detail of all tiles, and of the rest without ``band``, which is looked for
    unless all agree. The drift of tiles that do not agree is infinite.

    ``in_place`` is the share of the tiles, by weight, that agree and have not moved: it is evidence for the fit,
    whatever covers the others. ``agreeing`` (h, w) marks the pixels of tiles that agree, if there are enough.
    """

    agreement: float
    drift: float
    detail: float
    rest: float
    rest_drift: float
    in_place: float = 0.0
    agreeing: npt.NDArray[np.bool_] | None = None
    band: Band | None = None


def compare_tiles(first: Luminance, second: Luminance, top: int, left: int) -> TileAgreement:
    """Compare two overlaid pictures of one size, cut out of ``a`` from row ``top`` and column ``left``."""
    tiles = _Tiles(first.shape[0], first.shape[1])
    a, b = tiles.own(_smooth(first)), tiles.own(_smooth(second))
    alike, weight, agreement, detail = _agree(tiles.means(a * b), tiles.means(a * a), tiles.means(b * b), tiles.area)
    if weight.sum() <= 0:
        return TileAgreement(0.0, 0.0, 0.0, 0.0, 0.0)
    rest, across, start, stop = (agreement, True, 0, 0) if agreement >= _ALIKE else _find_best_band(alike, weight)
    agrees = _find_agreeing(alike, weight)
    is_unlike = max(agreement, rest) < _UNLIKE
    if is_unlike and agrees is None:
        return TileAgreement(agreement, math.inf, detail, rest, math.inf)
    sums = _TileSums.of(tiles, first, second)
    in_place, agreeing = (
        (0.0, None) if agrees is None else (_share_in_place(sums, agrees, weight), tiles.spread(agrees))
    )
    if is_unlike:
        return TileAgreement(agreement, math.inf, detail, rest, math.inf, in_place, agreeing)
    # What covers some tiles has levels of its own.
    covers = agreement < OVERLAY_AGREEMENT and in_place >= FEW
    shifts = sums.shifts(*sums.fit_levels(agrees if covers else None)[:2])
    drift = _weighted_median(shifts, weight)
    if rest <= agreement:
        return TileAgreement(agreement, drift, detail, agreement, drift, in_place, agreeing)
    outside = Band(across, start, stop).outside(weight.shape)
    edges, origin = (tiles.rows, top) if across else (tiles.columns, left)
    band = Band(across, origin + int(edges[start]), origin + int(edges[stop]))
    if agreement < OVERLAY_AGREEMENT < rest:
        # What is written over one of them has its own contrast, and distorts gain and offset.
        shifts = sums.shifts(*sums.fit_levels(outside)[:2])
    rest_drift = _weighted_median(shifts, weight * outside)
    return TileAgreement(agreement, drift, detail, rest, rest_drift, in_place, agreeing, band)


def _find_agreeing(alike: np.ndarray, weight: np.ndarray) -> npt.NDArray[np.bool_] | None:
    """Return which tiles agree; None if too few do."""
    agrees = alike >= _AGREES
    total = float(weight.sum())
    return agrees if total > 0 and float(weight[agrees].sum()) >= FEW * total else None


def _share_in_place(sums: _TileSums, agrees: npt.NDArray[np.bool_], weight: np.ndarray) -> float:
    """Return the share of the tiles, by weight, that agree and have not moved."""
    shifts = sums.shifts(*sums.fit_levels(agrees)[:2])
    return float(weight[agrees & (shifts <= _IN_PLACE)].sum()) / float(weight.sum())


#: Pairs of pictures whose products :class:`_TileSums` averages: 0 is the first picture, 1 the second, 2 and 3 are the
#: slopes of the second down and across.
_PRODUCTS: Final = ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3), (0, 1), (0, 2), (0, 3), (0, 0))


class _TileSums(NamedTuple):
    """Means over each tile, (tiles down, tiles across), of two pictures on one grid, with middle grey as 0.

    ``a`` and ``squares`` are those of the first picture and of its squares; ``means`` (3, …) those of the second one
    and of its slopes down and across; ``products`` maps (n, m), n ≤ m, to the mean of the product of the n-th and the
    m-th of these; ``crossed`` (3, …) holds the means of their products with the first picture. ``area`` has the pixels
    of each tile.
    """

    area: np.ndarray
    a: np.ndarray
    squares: np.ndarray
    means: np.ndarray
    products: Mapping[tuple[int, int], np.ndarray]
    crossed: np.ndarray

    @classmethod
    def of(cls, tiles: _Tiles, first: Luminance, second: Luminance) -> _TileSums:
        pictures = np.empty((4 + len(_PRODUCTS), *first.shape), np.float32)
        np.subtract(first, _GREY, out=pictures[0])
        np.subtract(second, _GREY, out=pictures[1])
        pictures[2:4] = find_gradient(second)
        for product, (n, m) in zip(pictures[4:], _PRODUCTS, strict=True):
            np.multiply(pictures[n], pictures[m], out=product)
        means = tiles.means(pictures)
        products = {(n - 1, m - 1): mean for (n, m), mean in zip(_PRODUCTS[:6], means[4:], strict=False)}
        return cls(tiles.area, means[0], means[13], means[1:4], products, means[10:13])

    def fit_levels(self, tiles: npt.NDArray[np.bool_] | None = None) -> tuple[float, float, float]:
        """Return gain and offset that map the levels of the second picture to those of the first in all or some tiles,
        by least squares, and the correlation there."""
        weight = self.area if tiles is None else self.area * tiles
        weight = weight / weight.sum()
        mean_a, mean_b = float((weight * self.a).sum()), float((weight * self.means[0]).sum())
        spread_a = float((weight * self.squares).sum()) - mean_a**2
        spread_b = float((weight * self.products[0, 0]).sum()) - mean_b**2
        covariance = float((weight * self.crossed[0]).sum()) - mean_a * mean_b
        gain = covariance / spread_b if spread_b > 0 else 0.0
        norm = math.sqrt(max(spread_a, 0.0) * max(spread_b, 0.0))
        return gain, mean_a - gain * mean_b, covariance / norm if norm > 0 else 0.0

    def shifts(self, gain: float, offset: float) -> np.ndarray:
        """Return the length of the shift of each tile that removes most of its error; blank tiles stay at 0."""
        of = self.products
        errors = [gain * (self.crossed[n] - gain * of[0, n] - offset * self.means[n]) for n in (1, 2)]
        slopes = [gain * gain * of[pair] for pair in ((1, 1), (2, 2), (1, 2))]
        return _solve_shifts(slopes[0], slopes[1], slopes[2], errors[0], errors[1])


def _agree(
    covariance: np.ndarray, var_a: np.ndarray, var_b: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the correlations of tiles, their weights, their agreement and the mean detail, by the means over each tile
    of the products of two pictures without their row and column means; ``area`` has the pixels of each."""
    alike = np.minimum(np.maximum(covariance / (np.sqrt(var_a * var_b) + _FAINT**2), 0), 1)
    contrast = np.maximum(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0)
    weight = np.minimum(contrast, _PLAIN) * area
    total = float(weight.sum())
    agreement = float((weight * alike).sum()) / total if total > 0 else 0.0
    return alike, weight, agreement, float((contrast * area).sum() / area.sum())


def _solve_shifts(yy: np.ndarray, xx: np.ndarray, xy: np.ndarray, ye: np.ndarray, xe: np.ndarray) -> np.ndarray:
    """Return the lengths of the shifts by least squares, from the means over each tile of the products of slopes down
    and across with each other and with the error."""
    damping = NOISE**2 / 4
    determinant = (yy + damping) * (xx + damping) - xy**2
    shift_y = ((xx + damping) * ye - xy * xe) / determinant
    shift_x = ((yy + damping) * xe - xy * ye) / determinant
    return np.asarray(np.hypot(shift_y, shift_x))


@dataclass(frozen=True, slots=True, eq=False)
class TiledPicture:
    """What comparing tiles takes of one picture, for pictures that share a grid of square tiles, (tiles down, tiles
    across, …) from tile ``top``, ``left`` on.

    ``own`` is the smoothed picture without row and column means; ``values`` (3, …) are the picture, around middle grey,
    and its slopes down and across; both have the pixels of a tile along the last axis. ``var`` holds the means over
    each tile of ``own`` squared, ``means`` (3, …) those of ``values``, and ``products`` (3, 3, …) those of their
    products.
    """

    top: int
    left: int
    own: Float32
    values: Float32
    var: Float32
    products: Float32
    means: Float32

    @classmethod
    def of(cls, picture: Luminance, top: int, left: int) -> TiledPicture | None:
        """Cut a picture whose first pixel lies at ``top``, ``left`` of the grid into whole tiles; None if too few."""
        rows, columns = (
            (-(-at // _TILE), (at + side) // _TILE) for at, side in ((top, len(picture)), (left, picture.shape[1]))
        )
        count = rows[1] - rows[0], columns[1] - columns[0]
        if min(count) < 2:
            return None
        inner = tuple(slice(_TILE * ends[0] - at, _TILE * ends[1] - at) for ends, at in ((rows, top), (columns, left)))

        def tiles(values: Float32) -> Float32:
            cut = values[inner].reshape(count[0], _TILE, count[1], _TILE).swapaxes(1, 2)
            return np.ascontiguousarray(cut).reshape(*count, _TILE**2)

        squares = tiles(_smooth(picture)).reshape(*count, _TILE, _TILE)
        across = squares.mean(axis=3, keepdims=True)
        squares = squares - across - squares.mean(axis=2, keepdims=True) + across.mean(axis=2, keepdims=True)
        own = squares.reshape(*count, _TILE**2)
        # Around middle grey, so that little is lost in differences of squares.
        values = np.stack([tiles(one) for one in (picture - np.float32(_GREY), *find_gradient(picture))])
        products = np.einsum("aijk,bijk->abij", values, values) / _TILE**2
        return cls(rows[0], columns[0], own, values, _tile_means(own, own), products, values.mean(axis=3))


class TiledComparison(NamedTuple):
    """How two pictures agree in the ``pixels`` of the tiles that both have, their ``correlation`` there, and the
    ``gain`` and ``offset`` that map the levels of the second to those of the first. ``alike`` and ``weight`` are the
    correlations and the weights of the tiles."""

    tiles: TileAgreement
    pixels: int
    correlation: float
    gain: float
    offset: float
    alike: np.ndarray
    weight: np.ndarray

    @property
    def rest(self) -> float:
        """The agreement without the band that agrees worst. ``tiles`` has none, as the drift there is not known."""
        return max(self.tiles.agreement, _find_best_band(self.alike, self.weight)[0])


def compare_tiled(a: TiledPicture, b: TiledPicture) -> TiledComparison | None:
    """Compare two pictures on one grid as :func:`compare_tiles` does, by the whole tiles that both have; None if there
    are too few."""
    rows = max(a.top, b.top), min(a.top + len(a.own), b.top + len(b.own))
    columns = max(a.left, b.left), min(a.left + a.own.shape[1], b.left + b.own.shape[1])
    if min(rows[1] - rows[0], columns[1] - columns[0]) < 2:
        return None
    in_a, in_b = (
        (slice(rows[0] - one.top, rows[1] - one.top), slice(columns[0] - one.left, columns[1] - one.left))
        for one in (a, b)
    )
    own = _tile_means(a.own[in_a], b.own[in_b])
    alike, weight, agreement, detail = _agree(own, a.var[in_a], b.var[in_b], np.ones_like(own))
    products, means = b.products[:, :, *in_b], b.means[:, *in_b]
    # Products of the picture and the slopes of b with the picture a.
    crossed = np.einsum("ijk,cijk->cij", a.values[0][in_a], b.values[:, *in_b]) / np.float32(_TILE**2)
    area = np.full(own.shape, _TILE**2, np.float32)
    pairs = {(n, m): products[n, m] for n in range(3) for m in range(n, 3)}
    sums = _TileSums(area, a.means[0][in_a], a.products[0, 0][in_a], means, pairs, crossed)
    gain, offset, correlation = sums.fit_levels()
    agrees = _find_agreeing(alike, weight)
    in_place = 0.0 if agrees is None else _share_in_place(sums, agrees, weight)
    levels = sums.fit_levels(agrees if agreement < OVERLAY_AGREEMENT and in_place >= FEW else None)
    drift = _weighted_median(sums.shifts(*levels[:2]), weight)
    tiles = TileAgreement(agreement, drift, detail, agreement, drift, in_place)
    return TiledComparison(tiles, own.size * _TILE**2, correlation, gain, offset + _GREY * (1 - gain), alike, weight)


def _tile_means(a: Float32, b: Float32) -> Float32:
    """Return the means over each tile of the products of two pictures, (tiles down, tiles across, pixels)."""
    return np.asarray(np.einsum("ijk,ijk->ij", a, b) / _TILE**2, np.float32)


def _find_best_band(alike: np.ndarray, weight: np.ndarray) -> tuple[float, bool, int, int]:
    """Find the band whose removal gives the highest agreement.

    Returns that agreement, whether the band runs across, and its first and end row (or column) of tiles. The rest must
    hold a quarter of all detail, or it is no evidence.
    """
    best = (0.0, True, 0, 0)
    for across in (True, False):
        agreeing, total = (
            np.append(0.0, values.sum(axis=1 if across else 0).cumsum()) for values in (weight * alike, weight)
        )
        starts, stops = _bands(len(total) - 1)
        remaining = total[-1] - total[stops] + total[starts]
        shares = (agreeing[-1] - agreeing[stops] + agreeing[starts]) / np.maximum(remaining, 1e-9)
        shares[remaining < total[-1] / 4] = 0
        at = int(shares.argmax())
        if shares[at] > best[0]:
            best = (float(shares[at]), across, int(starts[at]), int(stops[at]))
    return best


@lru_cache(maxsize=512)
def _bands(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and end row (or column) of all bands of ``count`` rows of tiles, narrow ones first."""
    widths = range(1, math.ceil(_BAND * count) + 1)
    bands = [(start, start + width) for width in widths for start in range(count - width + 1)]
    starts, stops = np.array(bands, np.int64).T
    return starts, stops


class _Tiles:
    """A grid of tiles of about equal size, at least two in each direction.

    Sums over tiles are products with 0/1 matrices: for pictures this small, that is several times as fast as
    ``np.add.reduceat``.
    """

    def __init__(self, height: int, width: int) -> None:
        self.rows, self._down = _tile_rows(height)
        self.columns, right = _tile_rows(width)
        self._right = right.T
        self._heights, self._widths = np.diff(self.rows), np.diff(self.columns)
        self.area = (self._heights[:, None] * self._widths[None]).astype(np.float32)

    def means(self, picture: np.ndarray) -> np.ndarray:
        """Return the mean of each tile of a picture or of a stack of pictures, (…, tiles down, tiles across)."""
        return np.asarray(self._down @ picture @ self._right / self.area)

    def spread(self, values: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the value of its tile for each pixel."""
        return np.repeat(np.repeat(values, self._heights, axis=0), self._widths, axis=1)

    def own(self, picture: Luminance) -> np.ndarray:
        """Subtract from a picture the mean of each row and column of each tile."""
        across = picture @ self._right
        across /= self._widths
        along = self._down @ picture
        along /= self._heights[:, None]
        mean = self._down @ across
        mean /= self._heights[:, None]
        across -= np.repeat(mean, self._heights, axis=0)
        centred: np.ndarray = picture - np.repeat(along, self._heights, axis=0)
        centred -= np.repeat(across, self._widths, axis=1)
        return centred


@lru_cache(maxsize=512)
def _tile_rows(side: int) -> tuple[np.ndarray, Float32]:
    """Return the edges (n + 1,) of n tiles along a side, and a matrix (n, side) that sums the pixels of each."""
    edges = np.linspace(0, side, max(2, round(side / _TILE)) + 1).astype(np.int64)
    sums = np.zeros((len(edges) - 1, side), np.float32)
    sums[np.repeat(np.arange(len(sums)), np.diff(edges)), np.arange(side)] = 1
    sums.setflags(write=False)
    return edges, sums


def _smooth(picture: Luminance) -> Float32:
    """Smooth with (1, 2, 1) / 4 along both axes: the finest detail is an artefact of resizing, which differs between
    methods."""
    along = np.empty_like(picture)
    np.add(picture[:-2], picture[2:], out=along[1:-1])
    along[0], along[-1] = picture[0] + picture[1], picture[-1] + picture[-2]
    along += picture
    along += picture
    smooth = np.empty_like(along)
    np.add(along[:, :-2], along[:, 2:], out=smooth[:, 1:-1])
    smooth[:, 0], smooth[:, -1] = along[:, 0] + along[:, 1], along[:, -1] + along[:, -2]
    smooth += along
    smooth += along
    smooth *= np.float32(1 / 16)
    return smooth


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = values.argsort(axis=None)
    cumulative = weights.reshape(-1)[order].cumsum()
    return float(values.reshape(-1)[order][int(np.searchsorted(cumulative, cumulative[-1] / 2))])
