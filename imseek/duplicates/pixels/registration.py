"""Register two pictures: lay one over the other, turned, scaled and shifted, and measure their agreement.

Pictures are small luminance images (:mod:`imseek.duplicates.pixels.luminance_cache`). There are two starting guesses:
all of the second over all of the first, in a given orientation
(:mod:`imseek.duplicates.pixels.coarse_comparison`); and one inside the other at a range of scales
(:mod:`imseek.duplicates.pixels.template_search`). The guess is refined by Gauss-Newton on scale and shift of each axis,
gain and offset (B. D. Lucas and T. Kanade, 1981), on a coarse grid and then a fine one. The grid is that of the coarser
picture, so that a thumbnail is not penalised for detail it cannot show.
:mod:`imseek.duplicates.pixels.agreement` then measures how well the two agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.agreement import FEW, NOISE, OVERLAY_AGREEMENT, TileAgreement, compare_tiles
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.resampling import (
    Fit,
    Luminance,
    correlate,
    cut_overlap,
    find_overlap,
    fit_gain_offset,
    sample_overlap,
    shrink_to,
)
from imseek.duplicates.pixels.template_search import CorrelationSearch
from imseek.types.arrays import Float32

#: Sides of the coarse and fine search grids.
_COARSE: Final = 48
_FINE: Final = 96
#: Scales at which one is searched in the other; one step moves no edge by more than half a pixel of the grid.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(17))
_FINE_SCALES: Final = tuple(float(scale) for scale in 0.9775 ** np.arange(33))
#: Pictures that agree so well and have moved so little, in pixels, are aligned even if text is written over one.
_PLAIN_AGREEMENT: Final = 0.72
_PLAIN_DRIFT: Final = 0.35
#: Give up if luminance correlates less than this after the first steps.
_HOPELESS: Final = 0.25
#: Least correlation of the search if one is inside the other: of 300 crops and framed copies, all but the blankest
#: had .54; of unrelated pictures, three quarters had less than .5.
_MIN_CORRELATION: Final = 0.5
#: Pictures that correlate so much, laid over each other as the coarse grid says, were not led astray by it.
_FOUND: Final = 0.5
#: One way round is clear if it correlates by so much more than the other.
_CLEAR: Final = 0.03
#: With this share of the tiles in place, a fit needs no refit; a refit may lower the agreement by at most so much.
_ENOUGH_IN_PLACE: Final = 0.5
_MOST_LOSS: Final = 0.01
#: Two pictures lie as their fit says if at least this share of their tiles is in place and this share of both overlaps:
#: a small overlap may agree by chance.
_FIXED_IN_PLACE: Final = 0.2
_FIXED_OVERLAP: Final = 0.5
#: From so many pixels on, every second row and column tells the fit.
_SAMPLED: Final = 4000
#: Residuals looked at to find their spread.
_RESIDUALS: Final = 1500
#: The fit has converged if a step moves nothing by more than so many pixels.
_CONVERGED: Final = 0.05
#: Least number of common rows and columns that is meaningful.
_MIN_EXTENT: Final = 6


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

    ``in_place`` is the share of the tiles, by weight, that agree and have not moved: if it is large, the fit is right,
    however much of one picture is covered.

    ``fit`` maps the pixels of ``a`` to those of ``b``, turned; None if the two were not laid over each other.
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
    in_place: float = 0.0
    fit: Fit | None = None

    @property
    def overlap(self) -> float:
        """The smaller of the two shares."""
        return min(self.overlap_a, self.overlap_b)

    @property
    def is_fixed(self) -> bool:
        """Whether enough of both pictures is in place for the fit to be right, whatever differs elsewhere."""
        return self.in_place >= _FIXED_IN_PLACE and self.overlap >= _FIXED_OVERLAP


def register_whole(a: Luminance, b: Luminance, orientation: int) -> Registration:
    """Lay all of ``b`` over all of ``a``, in the given orientation."""
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    fit = Fit(turned.shape[0] / a.shape[0], 0.0, turned.shape[1] / a.shape[1], 0.0)
    return _measure(a, turned, orientation, fit)


def register_near(
    a: Luminance, b: Luminance, orientation: int, near: Sequence[float], *, rough: bool = False
) -> Registration:
    """Lay ``b`` over ``a``, starting from a fit that is ``near``: scale and shift down, then those across, from shares
    of a side of ``a`` to shares of ``b``'s, turned. A ``rough`` fit is refined on the coarse grid first."""
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    return _measure(a, turned, orientation, fit_in_pixels(a, b, orientation, near), near=not rough)


def measure_at(a: Luminance, b: Luminance, orientation: int, fit: Sequence[float]) -> Registration:
    """Lay ``b`` over ``a`` by a known fit, as of :func:`register_near`, and measure how well they agree."""
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    exact = fit_in_pixels(a, b, orientation, fit)
    return _on_coarser_grid(a, turned, orientation, exact, lambda *ends: _compare_overlap(*ends)[1])


def fit_in_pixels(a: Luminance, b: Luminance, orientation: int, fit: Sequence[float]) -> Fit:
    """Return a fit as of :func:`register_near` in pixels of both, ``b`` turned."""
    height, width = b.shape[::-1] if orientation > 3 else b.shape
    sy, ty, sx, tx = fit
    return Fit(sy * height / a.shape[0], ty * height, sx * width / a.shape[1], tx * width)


def register_inside(a: Luminance, b: Luminance, orientation: int = 0, *, fine: bool = False) -> Registration:
    """Find one picture inside the other: the last one of :func:`find_inside`."""
    *_, last = find_inside(a, b, orientation, fine=fine)
    return last


def find_inside(a: Luminance, b: Luminance, orientation: int = 0, *, fine: bool = False) -> Iterator[Registration]:
    """Yield how one picture may lie inside the other, at half its size or larger: the better of both ways round, on a
    coarse grid and then, if ``fine`` and the coarse one has led astray, on one of twice its side.

    The fine one takes five times as long, and searches one way only where the coarse one was clear about it; on the
    coarse grid, lines of text are mere stripes.
    """
    turned = np.ascontiguousarray(turn(b, INVERSE[orientation]))
    ways: tuple[bool, ...] = (False, True)
    for grid in (_COARSE, _FINE) if fine else (_COARSE,):
        searches = {back: _search(turned, a, grid) if back else _search(a, turned, grid) for back in ways}
        back = max(searches, key=lambda way: searches[way][0])
        peak, fit = searches[back]
        if peak < _MIN_CORRELATION:
            yield Registration(orientation, 0.0, 0.0, peak, 0.0, 0.0, 0.0, max(a.shape))
        else:
            registration = _measure(a, turned, orientation, fit.inverse() if back else fit)
            yield registration
            if registration.correlation >= _FOUND:
                return
        ways = tuple(way for way in ways if searches[way][0] >= peak - _CLEAR)


def swap_sides(registration: Registration) -> Registration:
    """Return how ``a`` lies over ``b``."""
    inverse = INVERSE[registration.orientation]
    fit = None if registration.fit is None else registration.fit.inverse()
    return replace(
        registration, orientation=inverse, overlap_a=registration.overlap_b, overlap_b=registration.overlap_a, fit=fit
    )


# -- searching for one inside the other ----------------------------------------------------------------------


def _search(a: Luminance, b: Luminance, grid: int) -> tuple[float, Fit]:
    """Try ``b`` at each scale and position inside ``a``; return the highest correlation and its fit."""
    small, ratio = shrink_to(a, grid)
    height, width = small.shape
    shape, b = b.shape, shrink_to(b, grid * 3 // 2)[0]
    # The largest scale that fits inside.
    largest = min(height / b.shape[0], width / b.shape[1])
    sizes = [
        (max(6, round(b.shape[0] * largest * scale)), max(6, round(b.shape[1] * largest * scale)))
        for scale in (_SCALES if grid == _COARSE else _FINE_SCALES)
    ]
    sizes = [size for size in dict.fromkeys(sizes) if size[0] <= height and size[1] <= width]
    best, fit = -1.0, Fit(shape[0] / a.shape[0], 0.0, shape[1] / a.shape[1], 0.0)
    for peak in CorrelationSearch(small, NOISE).peaks(b, sizes):
        # Small windows match by chance more easily.
        score = peak.correlation * min(1.0, (peak.height * peak.width / (height * width)) ** 0.1)
        if score > best:
            best = score
            sy, sx = shape[0] / peak.height, shape[1] / peak.width
            grid_fit = Fit(sy, -peak.top * sy, sx, -peak.left * sx)
            fit = grid_fit.scaled((1 / ratio[0], 1 / ratio[1]), (1.0, 1.0))
    return best, fit


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measure(a: Luminance, b: Luminance, code: int, fit: Fit, *, near: bool = False) -> Registration:
    return _on_coarser_grid(a, b, code, fit, partial(_measure_on_grid, near=near))


def _on_coarser_grid(
    a: Luminance, b: Luminance, code: int, fit: Fit, measure: Callable[[Luminance, Luminance, int, Fit], Registration]
) -> Registration:
    """Measure how ``b``, turned by ``code`` already, lies over ``a``, with the coarser one of them as the first."""
    if fit.sy * fit.sx < 1:
        return swap_sides(measure(b, a, INVERSE[code], fit.inverse()))
    return measure(a, b, code, fit)


def _measure_on_grid(a: Luminance, b: Luminance, code: int, fit: Fit, *, near: bool) -> Registration:
    if not near and max(a.shape) > 1.5 * _COARSE:
        coarse, ratio = shrink_to(a, _COARSE)
        back = 1 / ratio[0], 1 / ratio[1]
        refined = _refine_fit(coarse, b, fit.scaled(ratio, (1.0, 1.0)), 4).scaled(back, (1.0, 1.0))
        # The coarse grid aliases fine stripes, so keep the refined fit only if it is better.
        before, after = _correlation(a, b, fit), _correlation(a, b, refined)
        if after > before:
            fit = refined
        if max(before, after) < _HOPELESS:
            return Registration(code, 0.0, 0.0, max(before, after), 0.0, 0.0, 0.0, max(a.shape))
    fit = _refine_fit(a, b, fit, 5)
    tiled, registration = _compare_overlap(a, b, code, fit)
    if tiled is None or tiled.agreement >= OVERLAY_AGREEMENT:
        return registration
    # What covers a part of one of them has distorted the fit, too: text in a band, or anything in tiles that then
    # disagree.
    is_off = tiled.agreement < _PLAIN_AGREEMENT or tiled.drift > _PLAIN_DRIFT
    if tiled.band is not None and tiled.rest > OVERLAY_AGREEMENT and is_off:
        better, refitted = _compare_overlap(a, b, code, _refine_fit(a, b, fit, 3, tiled.band.outside(a.shape)))
        if better is not None and better.rest > tiled.rest:
            tiled, registration = better, refitted
    if tiled.agreeing is None or tiled.in_place >= _ENOUGH_IN_PLACE:
        return registration
    assert registration.fit is not None, "tiles were compared"
    shared = find_overlap(a, b, registration.fit)
    agreeing = np.zeros(a.shape, np.bool_)
    agreeing[shared.top : shared.bottom, shared.left : shared.right] = tiled.agreeing
    better, refitted = _compare_overlap(a, b, code, _refine_fit(a, b, registration.fit, 3, agreeing))
    if better is None or min(better.agreement - tiled.agreement, better.rest - tiled.rest) < -_MOST_LOSS:
        return registration
    return refitted if better.in_place >= max(FEW, tiled.in_place) else registration


def _compare_overlap(a: Luminance, b: Luminance, code: int, fit: Fit) -> tuple[TileAgreement | None, Registration]:
    shared = find_overlap(a, b, fit)
    area = shared.height * shared.width
    overlap_a, overlap_b = area / a.size, min(1.0, area * fit.sy * fit.sx / b.size)
    if min(shared.height, shared.width) < _MIN_EXTENT:
        return None, Registration(code, overlap_a, overlap_b, 0.0, 0.0, 0.0, 0.0, max(a.shape))
    first, second = cut_overlap(a, b, shared, fit)
    tiled = compare_tiles(first, second, shared.top, shared.left)
    return tiled, Registration(
        code,
        overlap_a,
        overlap_b,
        correlate(first, second),
        tiled.agreement,
        tiled.drift,
        tiled.detail,
        max(a.shape),
        tiled.rest,
        tiled.rest_drift,
        tiled.in_place,
        fit,
    )


def _correlation(a: Luminance, b: Luminance, fit: Fit) -> float:
    shared = find_overlap(a, b, fit)
    if min(shared.height, shared.width) < _MIN_EXTENT:
        return -1.0
    return correlate(*cut_overlap(a, b, shared, fit))


def _refine_fit(a: Luminance, b: Luminance, fit: Fit, steps: int, pixels: npt.NDArray[np.bool_] | None = None) -> Fit:
    """Refine a fit by Gauss-Newton: a = gain · b(fit) + offset, by least squares over the overlap.

    Large residuals are down-weighted; if ``pixels`` (h, w) of ``a`` are given, the others are ignored.
    """
    for _ in range(steps):
        shared = find_overlap(a, b, fit)
        if min(shared.height, shared.width) < _MIN_EXTENT:
            return fit
        step = 2 if shared.height * shared.width >= _SAMPLED else 1
        target, resampled, down, right = sample_overlap(a, b, shared, fit, step)
        counted = None
        if pixels is None:
            gain, offset = fit_gain_offset(resampled, target)
        else:
            counted = pixels[shared.top + 1 : shared.bottom - 1 : step, shared.left + 1 : shared.right - 1 : step]
            if not counted.any():
                return fit
            gain, offset = fit_gain_offset(resampled[counted], target[counted])
        if gain <= 0:
            return fit
        error = np.float32(-gain) * resampled
        error += target
        error -= np.float32(offset)
        weight = error * np.float32(1 / _find_spread(error))
        weight *= weight
        weight += 1
        np.reciprocal(weight, out=weight)
        if counted is not None:
            weight *= counted
        y = _powers(shared.top + 1, shared.bottom - 1, step, a.shape[0])
        x = _powers(shared.left + 1, shared.right - 1, step, a.shape[1])
        normal, residual = _normal_equations(down, right, weight, error, y, x)
        normal.flat[::5] += 1e-4 * normal.flat[::5] + 1e-6 / gain**2
        change = (np.linalg.solve(normal, residual) / gain).tolist()
        longest = max(map(abs, change))
        if not longest < max(a.shape) / 4:
            return fit  # It diverges.
        # Steps are in pixels of `a`; each is sy (sx) pixels of `b`.
        fit = Fit(
            fit.sy * (1 + change[0] / a.shape[0]),
            fit.ty + change[1] * fit.sy,
            fit.sx * (1 + change[2] / a.shape[1]),
            fit.tx + change[3] * fit.sx,
        )
        if longest < _CONVERGED:
            break
    return fit


def _find_spread(error: Float32) -> float:
    """Return the scale of the residuals beyond which they lose weight, from a sample of them."""
    sample = np.abs(error.reshape(-1)[:: max(1, error.size // _RESIDUALS)])
    middle = len(sample) // 2
    sample.partition(middle)
    return 2 * float(sample[middle]) + NOISE


@lru_cache(maxsize=4096)
def _powers(start: int, stop: int, step: int, side: int) -> Float32:
    """Return the squares, first powers and ones (3, n) of places along a side, in shares of it."""
    places = (np.arange(start, stop, step) / side).astype(np.float32)
    powers = np.stack([places * places, places, np.ones_like(places)])
    powers.setflags(write=False)
    return powers


def _normal_equations(
    down: Float32, right: Float32, weight: Float32, error: Float32, y: Float32, x: Float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted normal equations, (4, 4) and (4,), of the basis ``down`` · y, ``down``, ``right`` · x and
    ``right``, all (h, w), without building it: it depends on ``y`` (3, h) and ``x`` (3, w), powers as of
    :func:`_powers`, along one axis only."""
    weighted = weight * down
    yy, y1, one_y = (y @ np.einsum("ij,ij->i", weighted, down)).tolist()
    error_y = (y[1:] @ np.einsum("ij,ij->i", weighted, error)).tolist()
    weighted *= right
    (yx, y_1), (one_x1, one_1) = (y[1:] @ weighted @ x[1:].T).tolist()
    np.multiply(weight, right, out=weighted)
    error *= weighted
    weighted *= right
    xx, x1, one_x = (x @ (y[2] @ weighted)).tolist()
    error_x = (x[1:] @ (y[2] @ error)).tolist()
    normal = [[yy, y1, yx, y_1], [y1, one_y, one_x1, one_1], [yx, one_x1, xx, x1], [y_1, one_1, x1, one_x]]
    return np.array(normal), np.array([*error_y, *error_x])
