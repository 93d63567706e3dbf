"""The pixel check: one picture laid over another, turned, scaled and shifted, and how well the two agree there.

Pictures are looked at as luminance, small (:mod:`imseek.curate.looks`). Where the second may lie comes from two
guesses: all of it over all of the first, in the best of the eight orientations; and, where that does not hold, one
inside the other at any of a row of scales, by normalised cross-correlation (J. P. Lewis, "Fast Normalized
Cross-Correlation", 1995: numerators by FFT, denominators from sums over windows). The guess is refined by
Gauss-Newton on scale and shift of either axis, gain and offset (B. D. Lucas and T. Kanade, 1981), on a coarse grid and
a fine one. The grid is that of the coarser picture, so that a thumbnail is not blamed for what it cannot show.

What two pictures of one class share - a white ground, a page's layout, an outline - makes a high correlation over all.
So that is asked tile by tile, of what is left when the mean of each row and of each column of a tile is taken away:
lines of text make stripes, axes and frames make lines, but which words and which curves they are is in the rest.
Another shot of the same scene agrees in most tiles, but they have moved against each other; copies have not: `drift`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from imseek.curate.orientations import INVERSE, ORIENTATIONS, turn
from imseek.types import Float32

#: Luminance of a picture, (h, w) float32, 0 … 255.
Look = Float32

#: Side of the squares over which orientations are compared, and of the grid on which one is looked for in the other.
_SQUARE: Final = 24
_COARSE: Final = 48
_FINE: Final = 96
#: How much smaller one may lie in the other, in steps that move no edge by more than half a pixel of the coarse grid.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(17))
_FINE_SCALES: Final = tuple(float(scale) for scale in 0.9775 ** np.arange(33))
#: Where luminance correlates less after the first steps, nothing will come of it.
_HOPELESS: Final = 0.25
#: Less than so many rows or columns in common say nothing.
_LEAST: Final = 6
#: A tile is about so many pixels wide.
_TILE: Final = 14
#: Grey levels (standard deviation) that compression and rounding make where there is nothing to see.
_NOISE: Final = 3.0
#: The same in what is left of a tile without the means of its rows and columns; and from where on more of it is not
#: more to see, so that a line of text written over a picture does not outweigh it.
_FAINT: Final = 1.0
_PLAIN: Final = 4.0


@dataclass(frozen=True, slots=True)
class Registration:
    """How ``b`` lies over ``a``.

    ``orientation`` is the code (0 … 7) by which ``b`` is turned. ``overlap_a`` and ``overlap_b`` are the shares of
    either area that the other covers. ``correlation`` is that of luminance over the overlap, −1 … 1; ``agreement`` the
    mean of that of its tiles, each weighed by the detail in it, 0 … 1. ``drift`` is how far tiles have moved against
    each other: the weighed median, in pixels of a grid whose longer side has ``pixels``. ``detail`` is the mean
    standard deviation of what tiles have of their own, in grey levels: at 0, nothing else means anything.
    """

    orientation: int
    overlap_a: float
    overlap_b: float
    correlation: float
    agreement: float
    drift: float
    detail: float
    pixels: int

    @property
    def overlap(self) -> float:
        """The lesser of the two shares."""
        return min(self.overlap_a, self.overlap_b)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Pixel (y, x) of ``a`` is (sy·y + ty, sx·x + tx) of ``b``, both counted from the upper left corner."""

    sy: float
    ty: float
    sx: float
    tx: float

    def inverse(self) -> _Fit:
        return _Fit(1 / self.sy, -self.ty / self.sy, 1 / self.sx, -self.tx / self.sx)

    def scaled(self, a: tuple[float, float], b: tuple[float, float]) -> _Fit:
        """The same between pictures whose sides are ``a`` and ``b`` times as long: (height, width)."""
        return _Fit(self.sy * b[0] / a[0], self.ty * b[0], self.sx * b[1] / a[1], self.tx * b[1])


def whole(a: Look, b: Look, orientation: int | None = None) -> Registration:
    """All of ``b`` over all of ``a``, in the orientation given, or the best of the eight."""
    code = best_orientation(a, b) if orientation is None else orientation
    turned = np.ascontiguousarray(turn(b, INVERSE[code]))
    fit = _Fit(turned.shape[0] / a.shape[0], 0.0, turned.shape[1] / a.shape[1], 0.0)
    return _measured(a, turned, code, fit)


def inside(a: Look, b: Look, orientation: int = 0, *, fine: bool = False) -> Registration:
    """One somewhere inside the other, at half its size or larger; the better of both ways around.

    ``fine`` looks on a grid of twice as many pixels a side, which takes five times as long: lines of text are no more
    than stripes on the other one.
    """
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    grid = _FINE if fine else _COARSE
    peak, fit = _search(a, turned, grid)
    other, back = _search(turned, a, grid)
    return _measured(a, turned, orientation, fit if peak >= other else back.inverse())


def swapped(one: Registration) -> Registration:
    """How ``a`` lies over ``b``."""
    return Registration(
        INVERSE[one.orientation],
        one.overlap_b,
        one.overlap_a,
        one.correlation,
        one.agreement,
        one.drift,
        one.detail,
        one.pixels,
    )


def best_orientation(a: Look, b: Look) -> int:
    """How ``b`` is turned beside ``a``: the code by which the two correlate best, both squeezed into a square."""
    first, second = _unit(_resized(a, _SQUARE, _SQUARE)), _unit(_resized(b, _SQUARE, _SQUARE))
    # A turn that does not follow the proportions is one only if nothing else is as near.
    found = [float((turn(first, code) * second).sum()) for code in range(len(ORIENTATIONS))]
    wide = (a.shape[1] > a.shape[0]) != (b.shape[1] > b.shape[0])
    return max(
        range(len(found)), key=lambda code: (round(found[code] + 0.02 * ((code > 3) == wide), 3), -code)
    )


# -- looking for one inside the other ------------------------------------------------------------------------


def _search(a: Look, b: Look, grid: int) -> tuple[float, _Fit]:
    """``b`` at each scale over each place of ``a`` that holds it: the greatest correlation, and where."""
    small, ratio = _shrunk(a, grid)
    height, width = small.shape
    small = small - small.mean()
    shape, b = b.shape, _shrunk(b, grid * 3 // 2)[0]
    # As large as it can be and still lie within.
    largest = min(height / b.shape[0], width / b.shape[1])
    sizes = [
        (max(6, round(b.shape[0] * largest * scale)), max(6, round(b.shape[1] * largest * scale)))
        for scale in (_SCALES if grid == _COARSE else _FINE_SCALES)
    ]
    sizes = [size for size in dict.fromkeys(sizes) if size[0] <= height and size[1] <= width]
    templates = np.zeros((len(sizes), height, width), np.float32)
    for n, (h, w) in enumerate(sizes):
        templates[n, :h, :w] = _unit(_resized(b, h, w))
    spectra = np.conj(np.fft.rfft2(templates)) * np.fft.rfft2(small)
    numerators = np.fft.irfft2(spectra, s=(height, width))
    sums, squares = _summed(small), _summed(small * small)
    best, fit = -1.0, _Fit(shape[0] / a.shape[0], 0.0, shape[1] / a.shape[1], 0.0)
    for n, (h, w) in enumerate(sizes):
        area = h * w
        variance = _windows(squares, h, w) - _windows(sums, h, w) ** 2 / area
        # A window of nothing correlates with nothing.
        norm = np.sqrt(np.maximum(variance, area * _NOISE**2))
        field = numerators[n, : height - h + 1, : width - w + 1] / norm
        top, left = np.unravel_index(int(field.argmax()), field.shape)
        # Small windows find something by chance more easily.
        worth = float(field[top, left]) * min(1.0, (area / (height * width)) ** 0.1)
        if worth > best:
            best = worth
            sy, sx = shape[0] / h, shape[1] / w
            found = _Fit(sy, -top * sy, sx, -left * sx)
            fit = found.scaled((1 / ratio[0], 1 / ratio[1]), (1.0, 1.0))
    return best, fit


def _summed(picture: Float32) -> np.ndarray:
    return np.pad(picture.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _windows(sums: np.ndarray, h: int, w: int) -> np.ndarray:
    return np.asarray(sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w])


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measured(a: Look, b: Look, code: int, fit: _Fit) -> Registration:
    # The grid is the coarser picture's.
    if fit.sy * fit.sx < 1:
        return swapped(_measured_on(b, a, INVERSE[code], fit.inverse()))
    return _measured_on(a, b, code, fit)


def _measured_on(a: Look, b: Look, code: int, fit: _Fit) -> Registration:
    if max(a.shape) > 1.5 * _COARSE:
        coarse, ratio = _shrunk(a, _COARSE)
        back = 1 / ratio[0], 1 / ratio[1]
        refined = _refined(coarse, b, fit.scaled(ratio, (1.0, 1.0)), 4).scaled(back, (1.0, 1.0))
        # Fine stripes are others on a coarse grid.
        before, after = _correlation(a, b, fit), _correlation(a, b, refined)
        if after > before:
            fit = refined
        if max(before, after) < _HOPELESS:
            return Registration(code, 0.0, 0.0, max(before, after), 0.0, 0.0, 0.0, max(a.shape))
    fit = _refined(a, b, fit, 5)
    rows, columns = _covered(a, b, fit)
    covered = len(rows) * len(columns)
    overlap_a, overlap_b = covered / a.size, min(1.0, covered * fit.sy * fit.sx / b.size)
    if len(rows) < _LEAST or len(columns) < _LEAST:
        return Registration(code, overlap_a, overlap_b, 0.0, 0.0, 0.0, 0.0, max(a.shape))
    first, second = _over(a, b, rows, columns, fit)
    correlation = float((_unit(first) * _unit(second)).sum())
    agreement, drift, detail = _by_tiles(first, second)
    return Registration(code, overlap_a, overlap_b, correlation, agreement, drift, detail, max(a.shape))


def _correlation(a: Look, b: Look, fit: _Fit) -> float:
    rows, columns = _covered(a, b, fit)
    if len(rows) < _LEAST or len(columns) < _LEAST:
        return -1.0
    first, second = _over(a, b, rows, columns, fit)
    return float((_unit(first) * _unit(second)).sum())


def _refined(a: Look, b: Look, fit: _Fit, steps: int) -> _Fit:
    """Gauss-Newton: a = gain · b(fit) + offset, in the least squares over the overlap, large residuals held down."""
    for _ in range(steps):
        rows, columns = _covered(a, b, fit)
        if len(rows) < _LEAST or len(columns) < _LEAST:
            return fit
        target, moved = _over(a, b, rows, columns, fit)
        gain, offset = _affine(moved, target)
        if gain <= 0:
            return fit
        error = target - gain * moved - offset
        down, right = np.gradient(moved)
        down *= gain
        right *= gain
        spread = 2 * float(np.median(np.abs(error))) + _NOISE
        weight = 1 / (1 + (error / spread) ** 2)
        y, x = rows[:, None] / a.shape[0], columns[None] / a.shape[1]
        basis = np.stack([down * y, down, right * x, right]).reshape(4, -1)
        weighed = basis * weight.reshape(-1)
        normal = weighed @ basis.T
        held = np.diag(1e-4 * np.diag(normal) + 1e-6)
        step = np.linalg.solve(normal + held, weighed @ error.reshape(-1))
        # In pixels of `a`; each is sy (sx) pixels of b.
        fit = _Fit(
            float(fit.sy * (1 + step[0] / a.shape[0])),
            float(fit.ty + step[1] * fit.sy),
            float(fit.sx * (1 + step[2] / a.shape[1])),
            float(fit.tx + step[3] * fit.sx),
        )
        if float(np.abs(step).max()) < 0.02:
            break
    return fit


def _by_tiles(first: Look, second: Look) -> tuple[float, float, float]:
    """Agreement, drift in pixels, and detail of two pictures of one size that lie over each other."""
    gain, offset = _affine(second, first)
    error = first - gain * second - offset
    down, right = np.gradient(gain * second)
    tiles = _Tiles(first.shape[0], first.shape[1])
    a, b = tiles.own(_smoothed(first)), tiles.own(_smoothed(second))
    var_a, var_b = tiles.means(a * a), tiles.means(b * b)
    alike = tiles.means(a * b) / (np.sqrt(var_a * var_b) + _FAINT**2)
    seen = np.maximum(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0)
    weight = np.minimum(seen, _PLAIN) * tiles.area
    if weight.sum() <= 0:
        return 0.0, 0.0, 0.0
    agreement = float((weight * np.clip(alike, 0, 1)).sum() / weight.sum())
    # The shift of each tile that takes most of its error away; nothing to see holds it at 0.
    yy, xx, xy = tiles.means(down * down), tiles.means(right * right), tiles.means(down * right)
    ye, xe = tiles.means(down * error), tiles.means(right * error)
    held = _NOISE**2 / 4
    determinant = (yy + held) * (xx + held) - xy**2
    shift_y = ((xx + held) * ye - xy * xe) / determinant
    shift_x = ((yy + held) * xe - xy * ye) / determinant
    drift = _weighed_median(np.hypot(shift_y, shift_x), weight)
    return agreement, drift, float((seen * tiles.area).sum() / tiles.area.sum())


class _Tiles:
    """A picture cut into tiles of about equal size, two at least in either direction."""

    def __init__(self, height: int, width: int) -> None:
        rows, columns = (
            np.linspace(0, side, max(2, round(side / _TILE)) + 1).astype(np.int64) for side in (height, width)
        )
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


def _affine(x: Look, y: Look) -> tuple[float, float]:
    """Gain and offset by which ``x`` is nearest ``y``."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    flat = (x - mean_x).reshape(-1)
    square = float(flat @ flat)
    gain = float(flat @ (y - mean_y).reshape(-1)) / square if square > 0 else 0.0
    return gain, mean_y - gain * mean_x


def _unit(picture: Look) -> Float32:
    centred = picture - picture.mean()
    norm = float(np.sqrt((centred * centred).sum()))
    return np.asarray(centred / norm if norm > 1e-6 else centred, np.float32)


# -- resampling ----------------------------------------------------------------------------------------------


def _covered(a: Look, b: Look, fit: _Fit) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of ``a`` whose centres lie over ``b``; there is no gap in them."""
    found = []
    for count, other, scale, shift in (
        (a.shape[0], b.shape[0], fit.sy, fit.ty),
        (a.shape[1], b.shape[1], fit.sx, fit.tx),
    ):
        centres = scale * (np.arange(count) + 0.5) + shift
        found.append(np.flatnonzero((centres >= 0.25) & (centres <= other - 0.25)))
    return found[0], found[1]


def _over(a: Look, b: Look, rows: np.ndarray, columns: np.ndarray, fit: _Fit) -> tuple[Look, Look]:
    """The two over each other, where they do lie over each other."""
    return a[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], _sampled(b, rows, columns, fit)


def _sampled(b: Look, rows: np.ndarray, columns: np.ndarray, fit: _Fit) -> Float32:
    """``b`` at pixels of ``a``: scale and shift are along the axes, so that two products of matrices do it."""
    down = _weights(rows, b.shape[0], fit.sy, fit.ty)
    right = _weights(columns, b.shape[1], fit.sx, fit.tx)
    return np.asarray(down @ b @ right.T, np.float32)


def _weights(places: np.ndarray, count: int, scale: float, shift: float) -> Float32:
    """(m, count) float32: rows sum to 1; a triangle as wide as the step, so that nothing is passed over."""
    centres = (scale * (places + 0.5) + (shift - 0.5)).astype(np.float32)
    weights: Float32 = np.arange(count, dtype=np.float32) - centres[:, None]
    np.abs(weights, out=weights)
    if scale > 1:
        weights *= np.float32(1 / scale)
    np.subtract(1, weights, out=weights)
    np.maximum(weights, 0, out=weights)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-6))
    return weights


def _resized(picture: Look, height: int, width: int) -> Float32:
    down, right = _evenly(height, picture.shape[0]), _evenly(width, picture.shape[1])
    return np.asarray(down @ picture @ right.T, np.float32)


@lru_cache(maxsize=1024)
def _evenly(length: int, count: int) -> Float32:
    """Weights that resize one axis; most pictures of a collection have one of a few shapes."""
    weights = _weights(np.arange(length), count, count / length, 0.0)
    weights.setflags(write=False)
    return weights


def _shrunk(picture: Look, side: int) -> tuple[Look, tuple[float, float]]:
    """Its longer side ``side`` at most, and by what (height, width) were multiplied."""
    shrink = min(1.0, side / max(picture.shape))
    height, width = (max(8, round(length * shrink)) for length in picture.shape)
    return _resized(picture, height, width), (height / picture.shape[0], width / picture.shape[1])
