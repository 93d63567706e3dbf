"""The pixel check: one picture laid over another, turned, scaled and shifted, and how well the two agree there.

Pictures are looked at as luminance, small (:mod:`imseek.curate.pixels.luminance_cache`). Where the second may lie
comes from two guesses: all of it over all of the first, in the best of the eight orientations; and, where that does
not hold, one inside the other at any of a row of scales (:mod:`imseek.curate.pixels.correlation`). The guess is
refined by Gauss-Newton on scale and shift of either axis, gain and offset (B. D. Lucas and T. Kanade, 1981), on a
coarse grid and a fine one. The grid is that of the coarser picture, so that a thumbnail is not blamed for what it
cannot show. How well they agree then, :mod:`imseek.curate.pixels.agreement` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from imseek.curate.pixels.agreement import NOISE, Band, Tiled, by_tiles
from imseek.curate.pixels.correlation import Searched
from imseek.curate.pixels.orientations import INVERSE, ORIENTATIONS, turn
from imseek.curate.pixels.resampling import (
    Fit,
    Look,
    affine,
    covered,
    over,
    resized,
    shrunk,
    unit,
)

#: Side of the squares over which orientations are compared, and of the grid on which one is looked for in the other.
_SQUARE: Final = 24
_COARSE: Final = 48
_FINE: Final = 96
#: How much smaller one may lie in the other, in steps that move no edge by more than half a pixel of the coarse grid.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(17))
_FINE_SCALES: Final = tuple(float(scale) for scale in 0.9775 ** np.arange(33))
#: Below this agreement, something may be written over one of them, where the rest has more.
_WRITTEN: Final = 0.85
#: Where luminance correlates less after the first steps, nothing will come of it.
_HOPELESS: Final = 0.25
#: The least that the search finds where one is inside the other: of 300 crops and framed copies, all but the blankest
#: had .54; of pictures of other things, three quarters had less than .5.
_FOUND: Final = 0.5
#: Less than so many rows or columns in common say nothing.
_LEAST: Final = 6


@dataclass(frozen=True, slots=True)
class Registration:
    """How ``b`` lies over ``a``.

    ``orientation`` is the code (0 … 7) by which ``b`` is turned. ``overlap_a`` and ``overlap_b`` are the shares of
    either area that the other covers. ``correlation`` is that of luminance over the overlap, −1 … 1; ``agreement`` the
    mean of that of its tiles, each weighed by the detail in it, 0 … 1. ``drift`` is how far tiles have moved against
    each other: the weighed median, in pixels of a grid whose longer side has ``pixels``. ``detail`` is the mean
    standard deviation of what tiles have of their own, in grey levels: at 0, nothing else means anything.

    ``rest_agreement`` and ``rest_drift`` are the same without the band across or down, of up to three tenths of the
    picture, without which the pictures agree best: a line of text may be written over one of them.
    """

    orientation: int
    overlap_a: float
    overlap_b: float
    correlation: float
    agreement: float
    drift: float
    detail: float
    pixels: int
    rest_agreement: float = 0.0
    rest_drift: float = 0.0

    @property
    def overlap(self) -> float:
        """The lesser of the two shares."""
        return min(self.overlap_a, self.overlap_b)


def whole(a: Look, b: Look, orientation: int | None = None) -> Registration:
    """All of ``b`` over all of ``a``, in the orientation given, or the best of the eight."""
    code = best_orientation(a, b) if orientation is None else orientation
    turned = np.ascontiguousarray(turn(b, INVERSE[code]))
    fit = Fit(turned.shape[0] / a.shape[0], 0.0, turned.shape[1] / a.shape[1], 0.0)
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
    if max(peak, other) < _FOUND:
        return Registration(orientation, 0.0, 0.0, max(peak, other), 0.0, 0.0, 0.0, max(a.shape))
    return _measured(a, turned, orientation, fit if peak >= other else back.inverse())


def swapped(one: Registration) -> Registration:
    """How ``a`` lies over ``b``."""
    turned = INVERSE[one.orientation]
    return replace(one, orientation=turned, overlap_a=one.overlap_b, overlap_b=one.overlap_a)


def best_orientation(a: Look, b: Look) -> int:
    """How ``b`` is turned beside ``a``: the code by which the two correlate best, both squeezed into a square."""
    first, second = unit(resized(a, _SQUARE, _SQUARE)), unit(resized(b, _SQUARE, _SQUARE))
    # A turn that does not follow the proportions is one only if nothing else is as near.
    found = [float((turn(first, code) * second).sum()) for code in range(len(ORIENTATIONS))]
    wide = (a.shape[1] > a.shape[0]) != (b.shape[1] > b.shape[0])
    return max(
        range(len(found)), key=lambda code: (round(found[code] + 0.02 * ((code > 3) == wide), 3), -code)
    )


# -- looking for one inside the other ------------------------------------------------------------------------


def _search(a: Look, b: Look, grid: int) -> tuple[float, Fit]:
    """``b`` at each scale over each place of ``a`` that holds it: the greatest correlation, and where."""
    small, ratio = shrunk(a, grid)
    height, width = small.shape
    shape, b = b.shape, shrunk(b, grid * 3 // 2)[0]
    # As large as it can be and still lie within.
    largest = min(height / b.shape[0], width / b.shape[1])
    sizes = [
        (max(6, round(b.shape[0] * largest * scale)), max(6, round(b.shape[1] * largest * scale)))
        for scale in (_SCALES if grid == _COARSE else _FINE_SCALES)
    ]
    sizes = [size for size in dict.fromkeys(sizes) if size[0] <= height and size[1] <= width]
    best, fit = -1.0, Fit(shape[0] / a.shape[0], 0.0, shape[1] / a.shape[1], 0.0)
    for peak in Searched(small, NOISE).peaks(b, sizes):
        # Small windows find something by chance more easily.
        worth = peak.correlation * min(1.0, (peak.height * peak.width / (height * width)) ** 0.1)
        if worth > best:
            best = worth
            sy, sx = shape[0] / peak.height, shape[1] / peak.width
            found = Fit(sy, -peak.top * sy, sx, -peak.left * sx)
            fit = found.scaled((1 / ratio[0], 1 / ratio[1]), (1.0, 1.0))
    return best, fit


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measured(a: Look, b: Look, code: int, fit: Fit) -> Registration:
    # The grid is the coarser picture's.
    if fit.sy * fit.sx < 1:
        return swapped(_measured_on(b, a, INVERSE[code], fit.inverse()))
    return _measured_on(a, b, code, fit)


def _measured_on(a: Look, b: Look, code: int, fit: Fit) -> Registration:
    if max(a.shape) > 1.5 * _COARSE:
        coarse, ratio = shrunk(a, _COARSE)
        back = 1 / ratio[0], 1 / ratio[1]
        refined = _refined(coarse, b, fit.scaled(ratio, (1.0, 1.0)), 4).scaled(back, (1.0, 1.0))
        # Fine stripes are others on a coarse grid.
        before, after = _correlation(a, b, fit), _correlation(a, b, refined)
        if after > before:
            fit = refined
        if max(before, after) < _HOPELESS:
            return Registration(code, 0.0, 0.0, max(before, after), 0.0, 0.0, 0.0, max(a.shape))
    fit = _refined(a, b, fit, 5)
    tiled, found = _laid(a, b, code, fit)
    if tiled is not None and tiled.agreement < _WRITTEN < tiled.rest:
        # What is written over one of them has pulled at the fit, too.
        better, again = _laid(a, b, code, _refined(a, b, fit, 3, tiled.band))
        return again if better is not None and better.rest > tiled.rest else found
    return found


def _laid(a: Look, b: Look, code: int, fit: Fit) -> tuple[Tiled | None, Registration]:
    rows, columns = covered(a, b, fit)
    area = len(rows) * len(columns)
    overlap_a, overlap_b = area / a.size, min(1.0, area * fit.sy * fit.sx / b.size)
    if len(rows) < _LEAST or len(columns) < _LEAST:
        return None, Registration(code, overlap_a, overlap_b, 0.0, 0.0, 0.0, 0.0, max(a.shape))
    first, second = over(a, b, rows, columns, fit)
    correlation = float((unit(first) * unit(second)).sum())
    tiled = by_tiles(first, second, int(rows[0]), int(columns[0]))
    return tiled, Registration(
        code,
        overlap_a,
        overlap_b,
        correlation,
        tiled.agreement,
        tiled.drift,
        tiled.detail,
        max(a.shape),
        tiled.rest,
        tiled.rest_drift,
    )


def _correlation(a: Look, b: Look, fit: Fit) -> float:
    rows, columns = covered(a, b, fit)
    if len(rows) < _LEAST or len(columns) < _LEAST:
        return -1.0
    first, second = over(a, b, rows, columns, fit)
    return float((unit(first) * unit(second)).sum())


def _refined(a: Look, b: Look, fit: Fit, steps: int, band: Band | None = None) -> Fit:
    """Gauss-Newton: a = gain · b(fit) + offset, in the least squares over the overlap, large residuals held down;
    without the pixels of ``a`` in ``band``."""
    for _ in range(steps):
        rows, columns = covered(a, b, fit)
        if len(rows) < _LEAST or len(columns) < _LEAST:
            return fit
        target, moved = over(a, b, rows, columns, fit)
        gain, offset = affine(moved, target)
        if gain <= 0:
            return fit
        error = target - gain * moved - offset
        down, right = np.gradient(moved)
        down *= gain
        right *= gain
        spread = 2 * float(np.median(np.abs(error))) + NOISE
        weight = 1 / (1 + (error / spread) ** 2)
        if band is not None:
            weight[band.over(rows, columns)] = 0
        y, x = rows[:, None] / a.shape[0], columns[None] / a.shape[1]
        basis = np.stack([down * y, down, right * x, right]).reshape(4, -1)
        weighed = basis * weight.reshape(-1)
        normal = weighed @ basis.T
        held = np.diag(1e-4 * np.diag(normal) + 1e-6)
        step = np.linalg.solve(normal + held, weighed @ error.reshape(-1))
        if not float(np.abs(step).max()) < max(a.shape) / 4:
            return fit  # Away from here there is nothing to be found.
        # In pixels of `a`; each is sy (sx) pixels of b.
        fit = Fit(
            float(fit.sy * (1 + step[0] / a.shape[0])),
            float(fit.ty + step[1] * fit.sy),
            float(fit.sx * (1 + step[2] / a.shape[1])),
            float(fit.tx + step[3] * fit.sx),
        )
        if float(np.abs(step).max()) < 0.02:
            break
    return fit
