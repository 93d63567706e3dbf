"""The pixel check: one picture laid over another, turned, scaled and shifted, and how well the two agree there.

Pictures are looked at as luminance, small (:mod:`imseek.curate.looks`). Where the second may lie comes from two
guesses: all of it over all of the first, in the best of the eight orientations; and, where that does not hold, one
inside the other at any of a row of scales, by normalised cross-correlation (J. P. Lewis, "Fast Normalized
Cross-Correlation", 1995: numerators by FFT, denominators from sums over windows). The guess is refined by
Gauss-Newton on scale and shift of either axis, gain and offset (B. D. Lucas and T. Kanade, 1981), on a coarse grid and
a fine one. The grid is that of the coarser picture, so that a thumbnail is not blamed for what it cannot show.

What two pictures of one class share - a white ground, a page's layout, an outline - makes a high correlation over all.
So that is asked tile by tile, and a tile counts by how much there is to see in it. Another shot of the same scene
agrees in most tiles, but they have moved against each other; copies have not: `drift`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.curate.orientations import INVERSE, ORIENTATIONS, turn
from imseek.types import Float32

#: Luminance of a picture, (h, w) float32, 0 … 255.
Look = Float32

#: Side of the squares over which orientations are compared, and of the grid on which one is looked for in the other.
_SQUARE: Final = 24
_COARSE: Final = 48
#: How much smaller one may lie in the other, in steps that move no edge by more than half a pixel of the coarse grid.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(17))
#: A tile is about so many pixels wide.
_TILE: Final = 14
#: Grey levels (standard deviation) that compression and rounding make where there is nothing to see.
_NOISE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Registration:
    """How ``b`` lies over ``a``.

    ``orientation`` is the code (0 … 7) by which ``b`` is turned. ``overlap_a`` and ``overlap_b`` are the shares of
    either area that the other covers. ``correlation`` is that of luminance over the overlap, −1 … 1; ``agreement`` the
    mean of that of its tiles, each weighed by the detail in it, 0 … 1. ``drift`` is how far tiles have moved against
    each other: the weighed median, as a share of the longer side. ``detail`` is the mean standard deviation of tiles
    in grey levels: near 0, nothing else means anything.
    """

    orientation: int
    overlap_a: float
    overlap_b: float
    correlation: float
    agreement: float
    drift: float
    detail: float

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
        return _Fit(
            self.sy * b[0] / a[0], self.ty * b[0], self.sx * b[1] / a[1], self.tx * b[1]
        )


def whole(a: Look, b: Look, orientation: int | None = None) -> Registration:
    """All of ``b`` over all of ``a``, in the orientation given, or the best of the eight."""
    code = best_orientation(a, b) if orientation is None else orientation
    turned = np.ascontiguousarray(turn(b, code))
    fit = _Fit(turned.shape[0] / a.shape[0], 0.0, turned.shape[1] / a.shape[1], 0.0)
    return _measured(a, turned, code, fit)


def inside(a: Look, b: Look, orientation: int = 0) -> Registration:
    """One somewhere inside the other, at half its size or larger; the better of both ways around."""
    turned = np.ascontiguousarray(turn(b, orientation))
    peak, fit = _search(a, turned)
    other, back = _search(turned, a)
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
    )


def best_orientation(a: Look, b: Look) -> int:
    """The code by which ``b`` correlates best with ``a``, both squeezed into a square."""
    first, second = _unit(_resized(a, _SQUARE, _SQUARE)), _unit(_resized(b, _SQUARE, _SQUARE))
    # A turn that does not follow the proportions is one only if nothing else is as near.
    found = [float((first * turn(second, code)).sum()) for code in range(len(ORIENTATIONS))]
    wide = (a.shape[1] > a.shape[0]) != (b.shape[1] > b.shape[0])
    return max(range(len(found)), key=lambda code: (found[code] + 0.02 * ((code > 3) == wide), -code))


# -- looking for one inside the other ------------------------------------------------------------------------


def _search(a: Look, b: Look) -> tuple[float, _Fit]:
    """``b`` at each scale over each place of ``a`` that holds it: the greatest correlation, and where."""
    shrink = min(1.0, _COARSE / max(a.shape))
    small = _resized(a, max(8, round(a.shape[0] * shrink)), max(8, round(a.shape[1] * shrink)))
    height, width = small.shape
    small = small - small.mean()
    # As large as it can be and still lie within.
    largest = min(height / b.shape[0], width / b.shape[1])
    sizes = [
        (max(6, round(b.shape[0] * largest * scale)), max(6, round(b.shape[1] * largest * scale)))
        for scale in _SCALES
    ]
    sizes = [size for size in dict.fromkeys(sizes) if size[0] <= height and size[1] <= width]
    templates = np.zeros((len(sizes), height, width), np.float32)
    for n, (h, w) in enumerate(sizes):
        templates[n, :h, :w] = _unit(_resized(b, h, w))
    spectra = np.conj(np.fft.rfft2(templates)) * np.fft.rfft2(small)
    numerators = np.fft.irfft2(spectra, s=(height, width))
    sums, squares = _summed(small), _summed(small * small)
    best, fit = -1.0, _Fit(b.shape[0] / a.shape[0], 0.0, b.shape[1] / a.shape[1], 0.0)
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
            sy, sx = b.shape[0] / h, b.shape[1] / w
            found = _Fit(sy, -top * sy, sx, -left * sx)
            fit = found.scaled((a.shape[0] / height, a.shape[1] / width), (1.0, 1.0))
    return best, fit


def _summed(picture: Float32) -> np.ndarray:
    return np.pad(picture.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _windows(sums: np.ndarray, h: int, w: int) -> np.ndarray:
    return sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measured(a: Look, b: Look, code: int, fit: _Fit) -> Registration:
    # The grid is the coarser picture's.
    if fit.sy * fit.sx < 1:
        return swapped(_measured_on(b, a, INVERSE[code], fit.inverse()))
    return _measured_on(a, b, code, fit)


def _measured_on(a: Look, b: Look, code: int, fit: _Fit) -> Registration:
    if max(a.shape) > 1.5 * _COARSE:
        shrink = _COARSE / max(a.shape)
        coarse = _resized(a, max(8, round(a.shape[0] * shrink)), max(8, round(a.shape[1] * shrink)))
        ratio = coarse.shape[0] / a.shape[0], coarse.shape[1] / a.shape[1]
        fit = _refined(coarse, b, fit.scaled(ratio, (1.0, 1.0)), 4).scaled(
            (1 / ratio[0], 1 / ratio[1]), (1.0, 1.0)
        )
    fit = _refined(a, b, fit, 3)
    rows, columns = _covered(a.shape[0], b.shape[0], fit.sy, fit.ty), _covered(a.shape[1], b.shape[1], fit.sx, fit.tx)
    covered = len(rows) * len(columns)
    overlap_a, overlap_b = covered / a.size, min(1.0, covered * fit.sy * fit.sx / b.size)
    if len(rows) < 6 or len(columns) < 6:
        return Registration(code, overlap_a, overlap_b, 0.0, 0.0, 1.0, 0.0)
    first = a[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    second = _sampled(b, rows, columns, fit)
    correlation = float((_unit(first) * _unit(second)).sum())
    agreement, drift, detail = _by_tiles(first, second)
    return Registration(code, overlap_a, overlap_b, correlation, agreement, drift / max(a.shape), detail)


def _refined(a: Look, b: Look, fit: _Fit, steps: int) -> _Fit:
    """Gauss-Newton: a = gain · b(fit) + offset, in the least squares over the overlap, large residuals held down."""
    for _ in range(steps):
        rows = _covered(a.shape[0], b.shape[0], fit.sy, fit.ty)
        columns = _covered(a.shape[1], b.shape[1], fit.sx, fit.tx)
        if len(rows) < 6 or len(columns) < 6:
            return fit
        target = a[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        moved = _sampled(b, rows, columns, fit)
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
        step = np.linalg.solve(normal + 1e-3 * np.trace(normal) / 4 * np.eye(4) + 1e-6 * np.eye(4), weighed @ error.reshape(-1))
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
    edges = [_edges(side) for side in first.shape]
    area = np.outer(np.diff(edges[0]), np.diff(edges[1]))

    def total(values: Float32) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(values, edges[0][:-1], axis=0), edges[1][:-1], axis=1)

    mean_a, mean_b = total(first) / area, total(second) / area
    var_a = np.maximum(total(first * first) / area - mean_a**2, 0)
    var_b = np.maximum(total(second * second) / area - mean_b**2, 0)
    shared = total(first * second) / area - mean_a * mean_b
    alike = shared / (np.sqrt(var_a * var_b) + _NOISE**2)
    weight = np.maximum(np.sqrt(np.maximum(var_a, var_b)) - _NOISE, 0) * area
    detail = float((weight / area).mean())
    if weight.sum() <= 0:
        return 0.0, 0.0, 0.0
    agreement = float((weight * np.clip(alike, 0, 1)).sum() / weight.sum())
    # The shift of each tile that takes most of its error away; nothing to see holds it at 0.
    yy, xx, xy = total(down * down), total(right * right), total(down * right)
    ye, xe = total(down * error), total(right * error)
    held = area * _NOISE**2 / 4
    determinant = (yy + held) * (xx + held) - xy**2
    shift_y = ((xx + held) * ye - xy * xe) / determinant
    shift_x = ((yy + held) * xe - xy * ye) / determinant
    drift = _weighed_median(np.hypot(shift_y, shift_x), weight)
    return agreement, drift, detail


def _edges(side: int) -> np.ndarray:
    """Where tiles begin, and the end: about _TILE wide, two at least."""
    return np.linspace(0, side, max(2, round(side / _TILE)) + 1).astype(np.int64)


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
    return centred / norm if norm > 1e-6 else centred


# -- resampling ----------------------------------------------------------------------------------------------


def _covered(count: int, other: int, scale: float, shift: float) -> np.ndarray:
    """Which of ``count`` pixels have their centre over one of the other picture's."""
    centres = scale * (np.arange(count) + 0.5) + shift
    return np.flatnonzero((centres >= 0.5 * min(1, scale)) & (centres <= other - 0.5 * min(1, scale)))


def _sampled(b: Look, rows: np.ndarray, columns: np.ndarray, fit: _Fit) -> Float32:
    """``b`` at pixels of ``a``: scale and shift are along the axes, so that two products of matrices do it."""
    down = _weights(rows, b.shape[0], fit.sy, fit.ty)
    right = _weights(columns, b.shape[1], fit.sx, fit.tx)
    sampled: Float32 = down @ b @ right.T
    return sampled


def _weights(places: np.ndarray, count: int, scale: float, shift: float) -> Float32:
    """(m, count) float32: rows sum to 1; a triangle as wide as the step, so that nothing is passed over."""
    centres = (scale * (places + 0.5) + shift)[:, None]
    apart = np.abs(np.arange(count) + 0.5 - centres)
    weights = np.maximum(1 - apart / max(1.0, scale), 0).astype(np.float32)
    sums = weights.sum(axis=1, keepdims=True)
    made: Float32 = weights / np.where(sums > 0, sums, 1)
    return made


def _resized(picture: Look, height: int, width: int) -> Float32:
    fit = _Fit(picture.shape[0] / height, 0.0, picture.shape[1] / width, 0.0)
    return _sampled(picture, np.arange(height), np.arange(width), fit)
