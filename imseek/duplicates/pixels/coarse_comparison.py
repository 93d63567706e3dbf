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
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from imseek.duplicates.pixels.agreement import NOISE
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.orientations import INVERSE, ORIENTATIONS, turn
from imseek.duplicates.pixels.resampling import resize_luminance, standardise
from imseek.types.arrays import Float32

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
#: Gauss-Newton steps, those of closer fits, and the least overlap in pixels of the square.
_STEPS: Final = 8
_CLOSE_STEPS: Final = 4
_MIN_EXTENT: Final = 5
#: Pixels of the squares refined together, so that they stay in the processor's cache.
_TOGETHER: Final = 2**16
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
    def joined(cls, parts: Sequence[CoarseFits]) -> CoarseFits:
        return cls(*(np.concatenate([getattr(one, field.name) for one in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class CoarsePictures:
    """n pictures as squares of several sides (n, side, side) float32, and their shapes in pixels."""

    shapes: Sequence[tuple[int, int]]
    turns: Float32
    search: Float32
    fits: Float32
    close: Float32
    parts: Float32

    @classmethod
    def of(cls, pictures: Sequence[SmallLuminance]) -> CoarsePictures:
        floats = [picture.astype(np.float32) for picture in pictures]

        def squares(side: int) -> Float32:
            return np.stack([resize_luminance(picture, side, side) for picture in floats])

        return cls(
            [(picture.shape[0], picture.shape[1]) for picture in pictures],
            _standardise(squares(_TURN_SIDE)),
            squares(_SEARCH_SIDE),
            squares(_SIDE),
            squares(_CLOSE_SIDE),
            squares(_PART_SIDE),
        )


def compare_whole(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[CoarseFits, Float32]:
    """Lay all of each picture ``b`` (n,) over all of its ``a`` (n,), both indexes into ``pictures``.

    Also returns the correlation (n,) of the squares before the fit, in the best orientation.
    """
    codes, correlation = _best_orientations(pictures, a, b)
    start = np.tile(np.array([1, 0, 1, 0], np.float32), (len(a), 1))
    return _measure(
        pictures.fits[a], _turn_back(pictures.fits[b], codes), start, codes, np.zeros(len(a), np.bool_)
    ), correlation


def compare_inside(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[CoarseFits, Float32]:
    """Find one picture of each pair inside the other, not turned, at half its size or larger.

    Also returns the highest correlation (n,) of the search, before the fit.
    """
    there, fit = _search(pictures, a, b)
    back, inverse = _search(pictures, b, a)
    swapped = back > there
    whole, part = np.where(swapped, b, a), np.where(swapped, a, b)
    start = np.where(swapped[:, None], inverse, fit).astype(np.float32)
    found = _measure(pictures.fits[whole], pictures.fits[part], start, np.zeros(len(a), np.int64), swapped)
    return found, np.maximum(there, back)


def compare_closely(pictures: CoarsePictures, a: Ints, b: Ints, fits: CoarseFits) -> CoarseFits:
    """Refine the fits of n pairs, and measure them again, as squares of twice the side."""
    first, second = pictures.close[a], _turn_back(pictures.close[b], fits.orientation)
    swapped = fits.swapped[:, None, None]
    whole, part = np.where(swapped, second, first), np.where(swapped, first, second)
    return _measure(whole, part, fits.fit, fits.orientation, fits.swapped, _CLOSE_STEPS)


def _best_orientations(pictures: CoarsePictures, a: Ints, b: Ints) -> tuple[Ints, Float32]:
    """Return the orientation of each ``b`` relative to its ``a`` and their correlation in it; turns that match the
    aspect ratios are slightly preferred."""
    first, second = pictures.turns[a], pictures.turns[b]
    found = np.stack(
        [
            np.einsum("nij,nij->n", np.moveaxis(turn(np.moveaxis(first, 0, -1), code), -1, 0), second)
            for code in range(len(ORIENTATIONS))
        ],
        axis=1,
    )
    wide = np.array([width > height for height, width in pictures.shapes])
    matches = (np.arange(len(ORIENTATIONS)) > 3) == (wide[a] != wide[b])[:, None]
    codes = np.round(found + 0.02 * matches, 3).argmax(axis=1)
    return codes, found[np.arange(len(a)), codes]


def _turn_back(squares: Float32, codes: Ints) -> Float32:
    turned = squares.copy()
    for code in np.unique(codes[codes > 0]).tolist():
        rows = codes == code
        turned[rows] = np.moveaxis(turn(np.moveaxis(squares[rows], 0, -1), INVERSE[code]), -1, 0)
    return turned


# -- searching for one inside the other ----------------------------------------------------------------------


def _search(pictures: CoarsePictures, whole: Ints, part: Ints) -> tuple[Float32, Float32]:
    """Try each ``part`` (n,) at each scale and position inside its ``whole`` (n,).

    Returns the highest correlations (n,), slightly reduced for small windows, and their fits (n, 4). Pairs with the
    same whole and aspect ratio are searched together: windows times parts is one matrix product.
    """
    best = np.full(len(whole), -1, np.float32)
    fits = np.tile(np.array([1, 0, 1, 0], np.float32), (len(whole), 1))
    together: dict[tuple[int, float, float], list[int]] = {}
    for n, (one, other) in enumerate(zip(whole.tolist(), part.tolist(), strict=True)):
        (height, width), (h, w) = pictures.shapes[one], pictures.shapes[other]
        largest = min(height / h, width / w)
        tall, wide = (
            max(1, round(_ASPECT_STEPS * share)) / _ASPECT_STEPS
            for share in (h * largest / height, w * largest / width)
        )
        together.setdefault((one, tall, wide), []).append(n)
    templates: dict[tuple[int, int, int], Float32] = {}
    for (one, tall, wide), members in together.items():
        pairs = np.array(members, np.int64)
        parts = part[pairs].tolist()
        picture = pictures.search[one]
        sizes = [(max(4, round(_SEARCH_SIDE * tall * s)), max(4, round(_SEARCH_SIDE * wide * s))) for s in _SCALES]
        for h, w in dict.fromkeys(sizes):
            for n in parts:
                if (n, h, w) not in templates:
                    templates[n, h, w] = standardise(resize_luminance(pictures.parts[n], h, w)).reshape(-1)
            wanted = np.stack([templates[n, h, w] for n in parts], axis=1)
            windows = sliding_window_view(picture, (h, w)).reshape(-1, h * w)
            variance = np.einsum("pq,pq->p", windows, windows) - windows.mean(axis=1) ** 2 * (h * w)
            field = windows @ wanted / np.sqrt(np.maximum(variance, h * w * NOISE**2))[:, None]
            at = field.argmax(axis=0)
            worth = field[at, np.arange(len(parts))] * min(1.0, (h * w / _SEARCH_SIDE**2) ** 0.1)
            better = worth > best[pairs]
            chosen, (top, left) = pairs[better], np.divmod(at[better], _SEARCH_SIDE - w + 1)
            best[chosen] = worth[better]
            fits[chosen] = np.stack(
                [np.full(len(chosen), _SEARCH_SIDE / h), -top / h, np.full(len(chosen), _SEARCH_SIDE / w), -left / w], 1
            )
    return best, fits


# -- refining, and measuring ---------------------------------------------------------------------------------


def _measure(
    a: Float32, b: Float32, start: Float32, codes: Ints, swapped: npt.NDArray[np.bool_], steps: int = _STEPS
) -> CoarseFits:
    """Refine the fits ``start`` (n, 4) of squares (n, side, side), and measure how well these agree."""
    fit, shared, likeness = start.copy(), np.zeros(len(a), np.float32), np.zeros((len(a), 2), np.float32)
    together = max(1, _TOGETHER // a.shape[1] ** 2)
    for first in range(0, len(a), together):
        rows = slice(first, first + together)
        refined = _refine(a[rows], b[rows], start[rows], steps)
        before, after = (_compare_overlaps(a[rows], b[rows], fits) for fits in (start[rows], refined))
        overlaps = _shared(start[rows]), _shared(refined)
        # Clipped highlights and what is written over one of them lead away from a fit that was right, and the smaller
        # the overlap, the more easily it agrees.
        better = after.min(axis=1) * np.sqrt(overlaps[1]) > before.min(axis=1) * np.sqrt(overlaps[0])
        fit[rows] = np.where(better[:, None], refined, start[rows])
        shared[rows] = np.where(better, overlaps[1], overlaps[0])
        likeness[rows] = np.where(better[:, None], after, before)
    return CoarseFits(codes, swapped, fit, shared, likeness[:, 0], likeness[:, 1])


def _shared(fit: Float32) -> Float32:
    """Return the share of both squares that overlaps, the smaller one, (n,)."""
    low, high = _overlap(fit[:, ::2], fit[:, 1::2])
    shared = (high - low).prod(axis=1)
    return np.asarray(np.minimum(shared, shared * fit[:, ::2].prod(axis=1)), np.float32)


def _compare_overlaps(a: Float32, b: Float32, fit: Float32) -> Float32:
    """Return the correlation and the agreement of the overlaps of n pairs of squares, (n, 2)."""
    first, second = _cut_overlaps(a, b, fit)
    correlation = np.einsum("nij,nij->n", _standardise(first), _standardise(second))
    return np.stack([correlation, _agreement(first, second)], axis=1)


def _overlap(scale: Float32, shift: Float32) -> tuple[Float32, Float32]:
    """Return the first and last place of the first square over the second, along one axis, in shares of its side."""
    low = np.maximum(0, -shift / scale)
    return low, np.maximum(np.minimum(1, (1 - shift) / scale), low)


def _refine(a: Float32, b: Float32, start: Float32, steps: int) -> Float32:
    """Refine fits by Gauss-Newton, as ``registration`` does for one pair; those that diverge keep their last step."""
    n, side = len(a), a.shape[1]
    fit, live = start.copy(), np.ones(n, np.bool_)
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    diagonal = np.arange(4)
    for _ in range(steps):
        down, rows = _weights(fit[:, 0], fit[:, 1], side)
        right, columns = _weights(fit[:, 2], fit[:, 3], side)
        moved = down @ b @ right.transpose(0, 2, 1)
        seen = (rows[:, :, None] & columns[:, None, :]).astype(np.float32)
        count = np.maximum(seen.sum(axis=(1, 2)), 1)[:, None, None]
        x = (moved - (moved * seen).sum(axis=(1, 2), keepdims=True) / count) * seen
        error = (a - (a * seen).sum(axis=(1, 2), keepdims=True) / count) * seen
        gain = np.einsum("nij,nij->n", x, error) / np.maximum(np.einsum("nij,nij->n", x, x), 1e-6)
        error -= gain[:, None, None] * x
        spread = _SPREAD * np.abs(error).sum(axis=(1, 2), keepdims=True) / count + NOISE
        weight = seen / (1 + (error / spread) ** 2)
        # Steps are in shares of the side.
        dy, dx = (gain[:, None, None] * side * slope for slope in np.gradient(moved, axis=(1, 2)))
        basis = np.stack([dy * places[:, None], dy, dx * places, dx], axis=1).reshape(n, 4, -1)
        weighed = basis * weight.reshape(n, 1, -1)
        normal = (weighed @ basis.transpose(0, 2, 1)).astype(np.float64)
        normal[:, diagonal, diagonal] = normal[:, diagonal, diagonal] * (1 + 1e-4) + 1
        step = np.linalg.solve(normal, (weighed @ error.reshape(n, -1, 1)).astype(np.float64))[:, :, 0]
        live &= (gain > 0) & (np.abs(step).max(axis=1) < 1 / 4)
        live &= (rows.sum(axis=1) >= _MIN_EXTENT) & (columns.sum(axis=1) >= _MIN_EXTENT)
        step[~live] = 0
        scale = fit[:, ::2]
        fit = np.stack([scale * (1 + step[:, ::2]), fit[:, 1::2] + step[:, 1::2] * scale], axis=2).reshape(n, 4)
        fit = fit.astype(np.float32)
    return fit


def _cut_overlaps(a: Float32, b: Float32, fit: Float32) -> tuple[Float32, Float32]:
    """Return the overlapping parts of both squares, resampled to squares of the same side."""
    side = a.shape[1]
    across: list[tuple[Float32, Float32]] = []
    for scale, shift in ((fit[:, 0], fit[:, 1]), (fit[:, 2], fit[:, 3])):
        low, high = _overlap(scale, shift)
        extent = np.maximum(high - low, 1 / side)
        across.append((_weights(extent, low, side)[0], _weights(extent * scale, low * scale + shift, side)[0]))
    (rows, others), (columns, more) = across
    first, second = rows @ a @ columns.transpose(0, 2, 1), others @ b @ more.transpose(0, 2, 1)
    return np.asarray(first, np.float32), np.asarray(second, np.float32)


def _weights(scale: Float32, shift: Float32, side: int) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return resampling weights (n, side, side), a triangle as wide as the step, and which places lie over the other
    square, (n, side)."""
    places = np.arange(side, dtype=np.float32)
    centres = scale[:, None] * (places + 0.5) + shift[:, None] * side - 0.5
    weights = np.abs(places - centres[:, :, None])
    weights /= np.maximum(scale, 1)[:, None, None]
    np.subtract(1, weights, out=weights)
    np.maximum(weights, 0, out=weights)
    weights /= np.maximum(weights.sum(axis=2, keepdims=True), 1e-6)
    return weights.astype(np.float32, copy=False), (centres >= -0.25) & (centres <= side - 0.75)


def _agreement(first: Float32, second: Float32) -> Float32:
    """Return the agreement of tiles (n,), as in :mod:`imseek.duplicates.pixels.agreement`, without the row or column of
    tiles whose removal improves it most."""
    a, b = _detail(first), _detail(second)
    var_a, var_b = (a * a).mean(axis=(3, 4)), (b * b).mean(axis=(3, 4))
    alike = np.clip((a * b).mean(axis=(3, 4)) / (np.sqrt(var_a * var_b) + _FAINT**2), 0, 1)
    weight = np.clip(np.sqrt(np.maximum(var_a, var_b)) - _FAINT, 0, _PLAIN)
    right = weight * alike
    total = weight.sum(axis=(1, 2))
    best: Float32 = right.sum(axis=(1, 2)) / np.maximum(total, 1e-6)
    for axis in (1, 2):
        rest = total[:, None] - weight.sum(axis=axis)
        share = (right.sum(axis=(1, 2))[:, None] - right.sum(axis=axis)) / np.maximum(rest, 1e-6)
        best = np.maximum(best, np.where(rest >= total[:, None] / 4, share, 0).max(axis=1))
    return best


def _detail(squares: Float32) -> Float32:
    """Cut squares into tiles without the means of their rows and columns, (n, down, across, tile, tile)."""
    count = squares.shape[1] // _TILE
    tiles = squares.reshape(len(squares), count, _TILE, count, _TILE).transpose(0, 1, 3, 2, 4)
    rows, columns = tiles.mean(axis=4, keepdims=True), tiles.mean(axis=3, keepdims=True)
    detail: Float32 = tiles - rows - columns + rows.mean(axis=3, keepdims=True)
    return detail


def _standardise(squares: Float32) -> Float32:
    centred = squares - squares.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.einsum("nij,nij->n", centred, centred))
    return np.asarray(centred / np.maximum(norm, 1e-6)[:, None, None], np.float32)
