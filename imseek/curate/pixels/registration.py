"""Register two pictures: lay one over the other, turned, scaled and shifted, and measure their agreement.

Pictures are small luminance images (:mod:`imseek.curate.pixels.luminance_cache`). There are two starting guesses: all
of the second over all of the first, in the best of the eight orientations; and, if that fails, one inside the other at
a range of scales (:mod:`imseek.curate.pixels.correlation`). The guess is refined by Gauss-Newton on scale and shift of
each axis, gain and offset (B. D. Lucas and T. Kanade, 1981), on a coarse grid and then a fine one. The grid is that of
the coarser picture, so that a thumbnail is not penalised for detail it cannot show.
:mod:`imseek.curate.pixels.agreement` then measures how well the two agree.
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

#: Side of the squares in which orientations are compared, and of the coarse and fine search grids.
_SQUARE: Final = 24
_COARSE: Final = 48
_FINE: Final = 96
#: Scales at which one is searched in the other; one step moves no edge by more than half a pixel of the grid.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(17))
_FINE_SCALES: Final = tuple(float(scale) for scale in 0.9775 ** np.arange(33))
#: Below this agreement, text may be written over one picture if the rest agrees better.
_WRITTEN: Final = 0.85
#: Give up if luminance correlates less than this after the first steps.
_HOPELESS: Final = 0.25
#: Least correlation of the search if one is inside the other: of 300 crops and framed copies, all but the blankest
#: had .54; of unrelated pictures, three quarters had less than .5.
_FOUND: Final = 0.5
#: Least number of common rows and columns that is meaningful.
_LEAST: Final = 6


@dataclass(frozen=True, slots=True)
class Registration:
    """How ``b`` lies over ``a``.

    ``orientation`` is the code (0 … 7) by which ``b`` is turned. ``overlap_a`` and ``overlap_b`` are the shares of each
    area covered by the other. ``correlation`` is that of luminance over the overlap, −1 … 1; ``agreement`` is the mean
    correlation of its tiles, weighted by their detail, 0 … 1. ``drift`` is how far tiles have moved relative to each
    other: the weighted median, in pixels of a grid whose longer side has ``pixels``. ``detail`` is the mean standard
    deviation of the tiles without their row and column means, in grey levels: at 0, nothing else is meaningful.

    ``rest_agreement`` and ``rest_drift`` are the same without the band, across or down and up to three tenths of the
    picture, whose removal gives the best agreement: a line of text may be written over one of them.
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
        """The smaller of the two shares."""
        return min(self.overlap_a, self.overlap_b)


def whole(a: Look, b: Look, orientation: int | None = None) -> Registration:
    """Lay all of ``b`` over all of ``a``, in the given orientation or the best of the eight."""
    code = best_orientation(a, b) if orientation is None else orientation
    turned = np.ascontiguousarray(turn(b, INVERSE[code]))
    fit = Fit(turned.shape[0] / a.shape[0], 0.0, turned.shape[1] / a.shape[1], 0.0)
    return _measured(a, turned, code, fit)


def inside(a: Look, b: Look, orientation: int = 0, *, fine: bool = False) -> Registration:
    """Find one picture inside the other, at half its size or larger; the better of both ways round.

    ``fine`` doubles the resolution of the search grid and takes five times as long; on the coarse grid, lines of text
    are mere stripes.
    """
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    grid = _FINE if fine else _COARSE
    peak, fit = _search(a, turned, grid)
    other, back = _search(turned, a, grid)
    if max(peak, other) < _FOUND:
        return Registration(orientation, 0.0, 0.0, max(peak, other), 0.0, 0.0, 0.0, max(a.shape))
    return _measured(a, turned, orientation, fit if peak >= other else back.inverse())


def swapped(one: Registration) -> Registration:
    """Return how ``a`` lies over ``b``."""
    turned = INVERSE[one.orientation]
    return replace(one, orientation=turned, overlap_a=one.overlap_b, overlap_b=one.overlap_a)


def best_orientation(a: Look, b: Look) -> int:
    """Return the code of how ``b`` is turned relative to ``a``: that of the best correlation of both squeezed into
    squares."""
    first, second = unit(resized(a, _SQUARE, _SQUARE)), unit(resized(b, _SQUARE, _SQUARE))
    # Slightly prefer turns that match the aspect ratios.
    found = [float((turn(first, code) * second).sum()) for code in range(len(ORIENTATIONS))]
    wide = (a.shape[1] > a.shape[0]) != (b.shape[1] > b.shape[0])
    return max(
        range(len(found)), key=lambda code: (round(found[code] + 0.02 * ((code > 3) == wide), 3), -code)
    )


# -- searching for one inside the other ----------------------------------------------------------------------


def _search(a: Look, b: Look, grid: int) -> tuple[float, Fit]:
    """Try ``b`` at each scale and position inside ``a``; return the highest correlation and its fit."""
    small, ratio = shrunk(a, grid)
    height, width = small.shape
    shape, b = b.shape, shrunk(b, grid * 3 // 2)[0]
    # The largest scale that fits inside.
    largest = min(height / b.shape[0], width / b.shape[1])
    sizes = [
        (max(6, round(b.shape[0] * largest * scale)), max(6, round(b.shape[1] * largest * scale)))
        for scale in (_SCALES if grid == _COARSE else _FINE_SCALES)
    ]
    sizes = [size for size in dict.fromkeys(sizes) if size[0] <= height and size[1] <= width]
    best, fit = -1.0, Fit(shape[0] / a.shape[0], 0.0, shape[1] / a.shape[1], 0.0)
    for peak in Searched(small, NOISE).peaks(b, sizes):
        # Small windows match by chance more easily.
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
        # The coarse grid aliases fine stripes, so keep the refined fit only if it is better.
        before, after = _correlation(a, b, fit), _correlation(a, b, refined)
        if after > before:
            fit = refined
        if max(before, after) < _HOPELESS:
            return Registration(code, 0.0, 0.0, max(before, after), 0.0, 0.0, 0.0, max(a.shape))
    fit = _refined(a, b, fit, 5)
    tiled, found = _laid(a, b, code, fit)
    if tiled is not None and tiled.agreement < _WRITTEN < tiled.rest:
        # Text written over one of them has distorted the fit, too.
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
    """Refine a fit by Gauss-Newton: a = gain · b(fit) + offset, by least squares over the overlap.

    Large residuals are down-weighted; pixels of ``a`` in ``band`` are ignored.
    """
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
            return fit  # It diverges.
        # Steps are in pixels of `a`; each is sy (sx) pixels of `b`.
        fit = Fit(
            float(fit.sy * (1 + step[0] / a.shape[0])),
            float(fit.ty + step[1] * fit.sy),
            float(fit.sx * (1 + step[2] / a.shape[1])),
            float(fit.tx + step[3] * fit.sx),
        )
        if float(np.abs(step).max()) < 0.02:
            break
    return fit
