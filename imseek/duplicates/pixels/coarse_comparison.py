"""Compare many pairs of pictures coarsely, as squares of 32 by 32 pixels, in a few array operations for all of them.

This costs a twentieth of a full registration (:mod:`imseek.duplicates.pixels.registration`). It drops pairs that cannot
be duplicates. All of one picture is laid over all of the
other in the best of the eight orientations, and each is searched for inside the other by normalised cross-correlation
at a range of scales; both guesses are refined by Gauss-Newton, and where that is worth it once more as squares of 64 by
64. As all pictures are squeezed into squares, so are the fits: shares of both sides, not pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.agreement import NOISE
from imseek.duplicates.pixels.orientations import INVERSE, ORIENTATIONS, turn
from imseek.duplicates.pixels.resampling import Luminance, find_gradient, resize_luminance
from imseek.types.arrays import Float32

Float64: TypeAlias = npt.NDArray[np.float64]
Complex64: TypeAlias = npt.NDArray[np.complex64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Sides of the squares: for orientations, for the search, for fits, for closer fits, and for what is searched for.
_TURN_SIDE: Final = 24
_SEARCH_SIDE: Final = 24
_SIDE: Final = 32
_CLOSE_SIDE: Final = 64
_PART_SIDE: Final = 48
#: Scales at which one is searched in the other.
_SCALES: Final = np.arange(_SEARCH_SIDE, _SEARCH_SIDE // 2 - 1, -2) / _SEARCH_SIDE
#: Aspect ratios of a part and the whole are rounded to so many steps, so that parts share their windows.
_ASPECT_STEPS: Final = 16
#: Heights and widths of parts are below this, so that height × this + width names a size.
_SIZE_CODE: Final = 32
#: Gauss-Newton steps, those of closer fits, and the least overlap in pixels of the square.
_STEPS: Final = 8
_CLOSE_STEPS: Final = 4
#: A fit has converged if a step moves nothing by more than so many pixels of the square.
_CONVERGED: Final = 0.05
_DIAGONAL: Final = np.arange(4)
_MIN_EXTENT: Final = 5
#: Pixels of the squares refined together, so that they stay in the processor's cache.
_TOGETHER: Final = 2**17
#: Side of a tile whose detail is compared, and standard deviations as in :mod:`imseek.duplicates.pixels.agreement`.
_TILE: Final = 8
_FAINT: Final = 1.0
_PLAIN: Final = 4.0
#: Median of absolute values of a normal distribution, as a share of their mean, doubled.
_SPREAD: Final = 1.7


@dataclass(frozen=True, slots=True, eq=False)
class CoarseFits:
    """How well n pairs of squares agree in their best fit; the second is turned by ``orientation`` (n,) beforehand.

    ``fit`` (n, 4) has scale and shift down, then those across, which map shares of a side of the first to shares of the
    second; where it is ``swapped`` (n,), of the second to the first. ``shared`` (n,) is the share of both that overlaps
    (the smaller). ``correlation`` (n,) is that of luminance over the overlap, and ``agreement`` (n,) that of the
    detail of its tiles, without the band whose removal improves it most.
    """

    orientation: Ints
    swapped: npt.NDArray[np.bool_]
    fit: Float32
    shared: Float32
    correlation: Float32
    agreement: Float32

    @property
    def likeness(self) -> Float32:
        """The lower of correlation and agreement, (n,)."""
        return np.minimum(self.correlation, self.agreement)

    def first_to_second(self, at: int) -> tuple[float, float, float, float]:
        """Return the fit of one pair, from the first to the second also where it is swapped."""
        sy, ty, sx, tx = self.fit[at].tolist()
        return (1 / sy, -ty / sy, 1 / sx, -tx / sx) if self.swapped[at] else (sy, ty, sx, tx)

    def of(self, rows: Ints) -> CoarseFits:
        return CoarseFits(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[CoarseFits]) -> CoarseFits:
        return cls(*(np.concatenate([getattr(one, field.name) for one in parts]) for field in fields(cls)))


class CoarsePictures:
    """n pictures as squares of several sides (n, side, side) float32, made when they are needed, and their shapes in
    pixels."""

    def __init__(self, pictures: Sequence[Luminance]) -> None:
        self._pictures = pictures
        self.shapes = [(picture.shape[0], picture.shape[1]) for picture in pictures]

    @cached_property
    def turns(self) -> Float32:
        return _standardise(self._squares(_TURN_SIDE))

    @cached_property
    def search(self) -> Float32:
        return self._squares(_SEARCH_SIDE)

    @cached_property
    def spectra(self) -> Complex64:
        return np.asarray(np.fft.rfft2(self.search), np.complex64)

    @cached_property
    def fits(self) -> Float32:
        return self._squares(_SIDE)

    @cached_property
    def close(self) -> Float32:
        return self._squares(_CLOSE_SIDE)

    @cached_property
    def parts(self) -> Float32:
        return self._squares(_PART_SIDE)

    def _squares(self, side: int) -> Float32:
        return np.stack([resize_luminance(picture, side, side) for picture in self._pictures])


def compare_whole(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[CoarseFits, Float32]:
    """Lay all of each picture ``b`` (n,) over all of its ``a`` (n,), both indexes into ``pictures``.

    Also returns the correlation (n,) of the squares before the fit, in the best orientation.
    """
    codes, correlation = find_orientations(pictures, a, b)
    start = np.tile(np.array([1, 0, 1, 0], np.float32), (len(a), 1))
    return _measure(
        pictures.fits[a], _turn_back(pictures.fits[b], codes), start, codes, np.zeros(len(a), np.bool_)
    ), correlation


def compare_inside(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[CoarseFits, Float32]:
    """Find one picture of each pair inside the other, not turned, at half its size or larger.

    Also returns the highest correlation (n,) of the search, before the fit.
    """
    peaks, fits = _search(pictures, np.concatenate([a, b]), np.concatenate([b, a]))
    (in_a, in_b), (fit, inverse) = np.split(peaks, 2), np.split(fits, 2)
    swapped = in_b > in_a
    whole, part = np.where(swapped, b, a), np.where(swapped, a, b)
    start = np.where(swapped[:, None], inverse, fit).astype(np.float32)
    coarse_fits = _measure(pictures.fits[whole], pictures.fits[part], start, np.zeros(len(a), np.int64), swapped)
    return coarse_fits, np.maximum(in_a, in_b)


def compare_closely(pictures: CoarsePictures, a: Ints, b: Ints, fits: CoarseFits) -> CoarseFits:
    """Refine the fits of n pairs, and measure them again, as squares of twice the side."""
    first, second = pictures.close[a], _turn_back(pictures.close[b], fits.orientation)
    swapped = fits.swapped[:, None, None]
    whole, part = np.where(swapped, second, first), np.where(swapped, first, second)
    return _measure(whole, part, fits.fit, fits.orientation, fits.swapped, _CLOSE_STEPS)


def find_orientations(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[Ints, Float32]:
    """Return the orientation of each ``b`` relative to its ``a`` and their correlation in it; turns that match the
    aspect ratios are slightly preferred."""
    first, second = pictures.turns[a], pictures.turns[b]
    correlations = np.stack(
        [
            np.einsum("nij,nij->n", np.moveaxis(turn(np.moveaxis(first, 0, -1), code), -1, 0), second)
            for code in range(len(ORIENTATIONS))
        ],
        axis=1,
    )
    wide = np.array([width > height for height, width in pictures.shapes])
    matches = (np.arange(len(ORIENTATIONS)) > 3) == (wide[a] != wide[b])[:, None]
    codes = np.round(correlations + 0.02 * matches, 3).argmax(axis=1)
    return codes, correlations[np.arange(len(a)), codes]


def _turn_back(squares: Float32, codes: Ints) -> Float32:
    turned = squares.copy()
    for code in np.unique(codes[codes > 0]).tolist():
        rows = codes == code
        turned[rows] = np.moveaxis(turn(np.moveaxis(squares[rows], 0, -1), INVERSE[code]), -1, 0)
    return turned


# -- searching for one inside the other ----------------------------------------------------------------------


def _search(pictures: CoarsePictures, whole: Ints, part: Ints) -> tuple[Float32, Float32]:
    """Try each ``part`` (n,) at each scale and position inside its ``whole`` (n,).

    Returns the highest correlations (n,), slightly reduced for small windows, and their fits (n, 4). All pairs whose
    part has one size are correlated together, by Fourier transform.
    """
    if not len(whole):
        return np.empty(0, np.float32), np.empty((0, 4), np.float32)
    sizes = _sizes(pictures, whole, part)
    codes = (sizes[..., 0] * _SIZE_CODE + sizes[..., 1]).reshape(-1)
    scores, places = np.empty(len(codes), np.float32), np.empty(len(codes), np.int64)
    order = np.argsort(codes, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        h, w = divmod(int(codes[group[0]]), _SIZE_CODE)
        pairs = group % len(whole)
        field = _correlate(pictures, whole[pairs], part[pairs], h, w)
        places[group] = at = field.argmax(axis=1)
        scores[group] = field[np.arange(len(group)), at] * min(1.0, (h * w / _SEARCH_SIDE**2) ** 0.1)
    best = scores.reshape(len(sizes), -1).argmax(axis=0) * len(whole) + np.arange(len(whole))
    heights, widths = sizes.reshape(-1, 2)[best].T
    top, left = np.divmod(places[best], _SEARCH_SIDE - widths + 1)
    fits = np.stack([_SEARCH_SIDE / heights, -top / heights, _SEARCH_SIDE / widths, -left / widths], axis=1)
    return scores[best], fits.astype(np.float32)


def _sizes(pictures: CoarsePictures, whole: Ints, part: Ints) -> Ints:
    """Return the height and width (scales, n, 2) of each ``part`` in pixels of the squares of its ``whole``."""
    shapes: Ints = np.array(pictures.shapes, np.int64)
    share = shapes[part] / shapes[whole]
    share = np.maximum(1, np.round(_ASPECT_STEPS * share / share.max(axis=1, keepdims=True))) / _ASPECT_STEPS
    sizes = np.maximum(4, np.round(_SEARCH_SIDE * share * _SCALES[:, None, None]))
    return np.asarray(sizes, np.int64)


def _correlate(pictures: CoarsePictures, whole: Ints, part: Ints, height: int, width: int) -> Float32:
    """Return the normalised cross-correlations (n, positions) of each ``part`` (n,), at one size, with its ``whole``
    (n,), row by row."""
    parts, of_part = np.unique(part, return_inverse=True)
    wholes, of_whole = np.unique(whole, return_inverse=True)
    templates = np.zeros((len(parts), _SEARCH_SIDE, _SEARCH_SIDE), np.float32)
    templates[:, :height, :width] = _standardise(resize_luminance(pictures.parts[parts], height, width))
    product = np.conj(np.fft.rfft2(templates))[of_part] * pictures.spectra[whole]
    # Positions at which parts would lie over an edge come last in each direction, and are left out.
    down, across = _window_sums(height), _window_sums(width)
    field = np.fft.irfft2(product)[:, : len(down), : len(across)]
    squares = pictures.search[wholes]
    squares = squares - squares.mean(axis=(1, 2), keepdims=True)
    count = height * width
    variance = down @ (squares * squares) @ across.T - (down @ squares @ across.T) ** 2 / np.float32(count)
    norms = np.sqrt(np.maximum(variance, count * NOISE**2))
    return np.asarray((field / norms[of_whole]).reshape(len(part), -1), np.float32)


@cache
def _window_sums(length: int) -> Float32:
    """Return a matrix (positions, side) that sums windows of this length along a side of the squares searched."""
    return np.array(
        [np.roll(np.arange(_SEARCH_SIDE) < length, at) for at in range(_SEARCH_SIDE - length + 1)], np.float32
    )


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measure(
    a: Float32, b: Float32, start: Float32, codes: Ints, swapped: npt.NDArray[np.bool_], steps: int = _STEPS
) -> CoarseFits:
    """Refine the fits ``start`` (n, 4) of squares (n, side, side), and measure how well these agree."""
    fit, shared, likeness = start.copy(), np.zeros(len(a), np.float32), np.zeros((len(a), 2), np.float32)
    batch = max(1, _TOGETHER // a.shape[1] ** 2)
    for first in range(0, len(a), batch):
        rows = slice(first, first + batch)
        refined = _refine(a[rows], b[rows], start[rows], steps)
        before, after = (_compare_overlaps(a[rows], b[rows], fits) for fits in (start[rows], refined))
        overlaps = _overlap_shares(start[rows]), _overlap_shares(refined)
        # Clipped highlights and what is written over one of them lead away from a fit that was right, and the smaller
        # the overlap, the more easily it agrees.
        better = after.min(axis=1) * np.sqrt(overlaps[1]) > before.min(axis=1) * np.sqrt(overlaps[0])
        fit[rows] = np.where(better[:, None], refined, start[rows])
        shared[rows] = np.where(better, overlaps[1], overlaps[0])
        likeness[rows] = np.where(better[:, None], after, before)
    return CoarseFits(codes, swapped, fit, shared, likeness[:, 0], likeness[:, 1])


def _overlap_shares(fit: Float32) -> Float32:
    """Return the share of both squares that overlaps, the smaller one, (n,)."""
    low, high = _overlap(fit[:, ::2], fit[:, 1::2])
    shared = (high - low).prod(axis=1)
    return np.asarray(np.minimum(shared, shared * fit[:, ::2].prod(axis=1)), np.float32)


def _compare_overlaps(a: Float32, b: Float32, fit: Float32) -> Float32:
    """Return the correlation and the agreement of the overlaps of n pairs of squares, (n, 2)."""
    first, second = _cut_overlaps(a, b, fit)
    correlation = _dot(_standardise(first), _standardise(second))
    return np.stack([correlation, _agreement(first, second)], axis=1)


def _overlap(scale: Float32, shift: Float32) -> tuple[Float32, Float32]:
    """Return the first and last place of the first square over the second, along one axis, in shares of its side."""
    low = np.maximum(0, -shift / scale)
    return low, np.maximum(np.minimum(1, (1 - shift) / scale), low)


def _refine(a: Float32, b: Float32, start: Float32, steps: int) -> Float32:
    """Refine fits by Gauss-Newton, as ``registration`` does for one pair; those that diverge keep their last step, and
    those that have converged take no more."""
    fit = start.copy()
    live = np.arange(len(a))
    for _ in range(steps):
        change, goes_on = _step(a[live], b[live], fit[live])
        scale = fit[live, ::2]
        fit[live, ::2] = scale * (1 + change[:, ::2])
        fit[live, 1::2] += change[:, 1::2] * scale
        live = live[goes_on]
        if not len(live):
            break
    return fit


def _step(a: Float32, b: Float32, fit: Float32) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return one step of Gauss-Newton (n, 4), 0 where it diverges, in shares of the side, and which fits are to be
    refined further, (n,)."""
    n, side = len(a), a.shape[1]
    down, rows = _weights(fit[:, 0], fit[:, 1], side)
    right, columns = _weights(fit[:, 2], fit[:, 3], side)
    resampled = np.asarray(down @ b @ right.transpose(0, 2, 1), np.float32)
    mask = (rows[:, :, None] & columns[:, None, :]).astype(np.float32)
    heights, widths = rows.sum(axis=1), columns.sum(axis=1)
    count = np.maximum(heights * widths, 1).astype(np.float32)
    dy, dx = find_gradient(resampled)
    x: Float32 = resampled - (_dot(resampled, mask) / count)[:, None, None]
    x *= mask
    error: Float32 = a - (_dot(a, mask) / count)[:, None, None]
    error *= mask
    gain = _dot(x, error) / np.maximum(_dot(x, x), 1e-6)
    x *= gain[:, None, None]
    error -= x
    weight = np.abs(error, out=x)
    spread = _SPREAD * weight.reshape(n, -1).sum(axis=1) / count + NOISE
    weight /= spread[:, None, None]
    weight *= weight
    weight += 1
    np.divide(mask, weight, out=weight)
    # Steps are in shares of the side.
    normal, residual = _normal_equations(dy, dx, weight, error)
    slope = (gain * side).astype(np.float64)
    normal *= (slope * slope)[:, None, None]
    normal[:, _DIAGONAL, _DIAGONAL] = normal[:, _DIAGONAL, _DIAGONAL] * (1 + 1e-4) + 1
    change = np.linalg.solve(normal, (residual * slope[:, None])[:, :, None])[:, :, 0]
    longest = np.abs(change).max(axis=1)
    works = (gain > 0) & (longest < 1 / 4) & (heights >= _MIN_EXTENT) & (widths >= _MIN_EXTENT)
    change[~works] = 0
    return change.astype(np.float32), works & (longest >= _CONVERGED / side)


def _normal_equations(down: Float32, right: Float32, weight: Float32, error: Float32) -> tuple[Float64, Float64]:
    """Return the weighted normal equations, (n, 4, 4) and (n, 4), of the basis ``down`` · y, ``down``, ``right`` · x
    and ``right``, all (n, side, side), as :mod:`imseek.duplicates.pixels.registration` does for one pair."""
    side = down.shape[1]
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    powers = np.stack([places * places, places, np.ones_like(places)])
    weighted = weight * down
    yy, y1, one_y = (np.einsum("nij,nij->ni", weighted, down) @ powers.T).T
    error_y = (np.einsum("nij,nij->ni", weighted, error) @ powers[1:].T).T
    weighted *= right
    mixed = (powers[1:] @ weighted @ powers[1:].T).reshape(-1, 4)
    yx, y_1, one_x1, one_1 = mixed.T
    np.multiply(weight, right, out=weighted)
    error_x = (np.einsum("nij,nij->nj", weighted, error) @ powers[1:].T).T
    weighted *= right
    xx, x1, one_x = (weighted.sum(axis=1) @ powers.T).T
    normal = [yy, y1, yx, y_1, y1, one_y, one_x1, one_1, yx, one_x1, xx, x1, y_1, one_1, x1, one_x]
    return (
        np.stack(normal, axis=1).astype(np.float64).reshape(-1, 4, 4),
        np.stack([*error_y, *error_x], axis=1).astype(np.float64),
    )


def _dot(a: Float32, b: Float32) -> Float32:
    """Return the scalar products of n squares with n others, (n,)."""
    return np.asarray(np.einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1)), np.float32)


def _cut_overlaps(a: Float32, b: Float32, fit: Float32) -> tuple[Float32, Float32]:
    """Return the overlapping parts of both squares, resampled to squares of the same side."""
    side = a.shape[1]
    across: list[tuple[Float32, Float32]] = []
    for scale, shift in ((fit[:, 0], fit[:, 1]), (fit[:, 2], fit[:, 3])):
        low, high = _overlap(scale, shift)
        extent = np.maximum(high - low, 1 / side)
        across.append((_weights(extent, low, side)[0], _weights(extent * scale, low * scale + shift, side)[0]))
    (rows_a, rows_b), (columns_a, columns_b) = across
    first, second = rows_a @ a @ columns_a.transpose(0, 2, 1), rows_b @ b @ columns_b.transpose(0, 2, 1)
    return np.asarray(first, np.float32), np.asarray(second, np.float32)


def _weights(scale: Float32, shift: Float32, side: int) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return resampling weights (n, side, side), a triangle as wide as the step, and which places lie over the other
    square, (n, side)."""
    places = np.arange(side, dtype=np.float32)
    centres = scale[:, None] * (places + 0.5) + shift[:, None] * side - 0.5
    weights = places - centres[:, :, None]
    np.abs(weights, out=weights)
    weights *= (-1 / np.maximum(scale, 1))[:, None, None]
    weights += 1
    np.maximum(weights, 0, out=weights)
    weights *= 1 / np.maximum(weights @ np.ones((side, 1), np.float32), 1e-6)
    return weights, (centres >= -0.25) & (centres <= side - 0.75)


def _agreement(first: Float32, second: Float32) -> Float32:
    """Return the agreement of tiles (n,), as in :mod:`imseek.duplicates.pixels.agreement`, without the row or column of
    tiles whose removal improves it most."""
    centre, mean = _tile_matrices(first.shape[1])
    a, b = centre @ first @ centre, centre @ second @ centre
    var_a, var_b = mean @ (a * a) @ mean.T, mean @ (b * b) @ mean.T
    np.multiply(a, b, out=a)
    alike = np.clip(mean @ a @ mean.T / (np.sqrt(var_a * var_b) + _FAINT**2), 0, 1)
    weight = np.clip(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0, _PLAIN)
    agreeing = weight * alike
    total = weight.sum(axis=(1, 2))
    best: Float32 = agreeing.sum(axis=(1, 2)) / np.maximum(total, 1e-6)
    for axis in (1, 2):
        remaining = total[:, None] - weight.sum(axis=axis)
        share = (agreeing.sum(axis=(1, 2))[:, None] - agreeing.sum(axis=axis)) / np.maximum(remaining, 1e-6)
        best = np.maximum(best, np.where(remaining >= total[:, None] / 4, share, 0).max(axis=1))
    return best


@cache
def _tile_matrices(side: int) -> tuple[Float32, Float32]:
    """Return a matrix (side, side) that subtracts from each place of a side the mean of its tile, and one (tiles, side)
    of means: products with them are several times as fast as sums over axes of tiles."""
    mean = np.repeat(np.eye(side // _TILE, dtype=np.float32), _TILE, axis=1) / np.float32(_TILE)
    centre = np.eye(side, dtype=np.float32) - np.repeat(mean, _TILE, axis=0)
    return centre, mean


def _standardise(squares: Float32) -> Float32:
    centred = squares - squares.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(_dot(centred, centred))
    return np.asarray(centred / np.maximum(norm, 1e-6)[:, None, None], np.float32)
