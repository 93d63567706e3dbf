"""Resample one picture at the pixels of another: scale and shift along the axes, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.types.arrays import Float32

#: Luminance, (h, w) float32, 0 … 255.
Luminance: TypeAlias = Float32


@dataclass(frozen=True, slots=True)
class Fit:
    """Maps pixel (y, x) of ``a`` to (sy·y + ty, sx·x + tx) of ``b``, both measured from the upper left corner."""

    sy: float
    ty: float
    sx: float
    tx: float

    def inverse(self) -> Fit:
        return Fit(1 / self.sy, -self.ty / self.sy, 1 / self.sx, -self.tx / self.sx)

    def scaled(self, a: tuple[float, float], b: tuple[float, float]) -> Fit:
        """Return the fit between pictures whose sides are ``a`` and ``b`` times as long, as (height, width)."""
        return Fit(self.sy * b[0] / a[0], self.ty * b[0], self.sx * b[1] / a[1], self.tx * b[1])


@dataclass(frozen=True, slots=True)
class Overlap:
    """The pixels of ``a`` whose centres lie over ``b``: rows ``top`` to before ``bottom``, columns ``left`` to before
    ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


def find_overlap(a: Luminance, b: Luminance, fit: Fit) -> Overlap:
    """Return the rows and columns of ``a`` whose centres lie over ``b``."""
    rows = _covered_range(a.shape[0], b.shape[0], fit.sy, fit.ty)
    return Overlap(*rows, *_covered_range(a.shape[1], b.shape[1], fit.sx, fit.tx))


def _covered_range(count: int, other: int, scale: float, shift: float) -> tuple[int, int]:
    """Return the first and end place of those whose centres lie over the other picture, along one axis."""
    if scale <= 0:
        return 0, 0
    first = max(0, math.ceil((0.25 - shift) / scale - 0.5))
    end = min(count, math.floor((other - 0.25 - shift) / scale - 0.5) + 1)
    return first, max(first, end)


def cut_overlap(a: Luminance, b: Luminance, shared: Overlap, fit: Fit) -> tuple[Luminance, Luminance]:
    """Return the overlapping parts of both pictures, on the pixel grid of ``a``."""
    down = _Kernel.of(shared.top, shared.height, b.shape[0], fit.sy, fit.ty)
    right = _Kernel.of(shared.left, shared.width, b.shape[1], fit.sx, fit.tx)
    return a[shared.top : shared.bottom, shared.left : shared.right], right.columns(down.rows(b))


def draw_in_frame(picture: Luminance, fit: Fit) -> tuple[int, int, Luminance]:
    """Draw a picture at the pixels of a frame without edges, which ``fit`` maps to those of the picture.

    Returns the row and the column of the first pixel of the frame whose centre lies over the picture, and the picture.
    """
    (top, down), (left, right) = (
        _kernel_in_frame(count, scale, shift)
        for count, scale, shift in ((picture.shape[0], fit.sy, fit.ty), (picture.shape[1], fit.sx, fit.tx))
    )
    return top, left, right.columns(down.rows(picture))


def _kernel_in_frame(count: int, scale: float, shift: float) -> tuple[int, _Kernel]:
    first = math.ceil((0.25 - shift) / scale - 0.5)
    end = math.floor((count - 0.25 - shift) / scale - 0.5) + 1
    return first, _Kernel.of(first, max(1, end - first), count, scale, shift)


def sample_overlap(
    a: Luminance, b: Luminance, shared: Overlap, fit: Fit, step: int
) -> tuple[Luminance, Luminance, Luminance, Luminance]:
    """Return every ``step``-th row and column of what :func:`cut_overlap` returns, and the central differences down and
    across of the second picture there; of the outermost ones, none is taken."""
    down = _Kernel.of(shared.top, shared.height, b.shape[0], fit.sy, fit.ty)
    right = _Kernel.of(shared.left, shared.width, b.shape[1], fit.sx, fit.tx)
    inner = slice(1, -1, step)
    target = a[shared.top : shared.bottom, shared.left : shared.right][inner, inner]
    rows = down.rows(b)
    resampled = right.columns(rows[inner])
    slope_down = right.part(inner).columns(_central_difference(rows, step))
    slope_right = _central_difference(resampled.T, step).T
    return target, resampled[:, inner], slope_down, slope_right


def _central_difference(rows: Luminance, step: int) -> Luminance:
    """Return the central differences (n, w) of rows at every ``step``-th inner one."""
    difference = rows[2::step] - rows[:-2:step]
    difference *= np.float32(0.5)
    return difference


class _Kernel(NamedTuple):
    """What resamples one axis: the n-th of ``places`` new pixels is the sum of the pixels ``positions`` (taps, places),
    float32 weights ``values`` (taps, places) times each. Positions beyond an edge, where weights are 0, are clipped."""

    positions: npt.NDArray[np.int64]
    values: Float32

    @classmethod
    def of(cls, start: int, places: int, count: int, scale: float, shift: float) -> _Kernel:
        """Return the kernel for places from ``start`` on, among ``count`` pixels: a triangle as wide as the step."""
        reach = max(scale, 1.0)
        at, taps = _places_and_taps(places, math.ceil(2 * reach))
        centres = scale * at + (scale * start + shift - 0.5)
        positions = taps + np.floor(centres - reach)
        values = np.abs(positions - centres)
        values /= -reach
        values += 1
        np.maximum(values, 0, out=values)
        if positions[0, 0] < 0:
            values[positions < 0] = 0
        if positions[-1, -1] >= count:
            values[positions >= count] = 0
        values /= np.maximum(values.sum(axis=0), 1e-6)
        return cls(positions.astype(np.int64), values.astype(np.float32))

    def part(self, places: slice) -> _Kernel:
        """Return the kernel for some of the places."""
        return _Kernel(self.positions[:, places], self.values[:, places])

    def rows(self, picture: Luminance) -> Luminance:
        """Return ``picture`` (h, w) with its rows resampled, (places, w) float32."""
        return self._sum(picture, 0, self.values[:, :, np.newaxis])

    def columns(self, picture: Luminance) -> Luminance:
        """Return ``picture`` (h, w) with its columns resampled, (h, places) float32."""
        return self._sum(picture, 1, self.values)

    def _sum(self, picture: Luminance, axis: int, weights: Float32) -> Luminance:
        # A kernel has two to four taps for most pairs: as a matrix, nearly all of it would be zeros.
        total: Luminance = picture.take(self.positions[0], axis=axis, mode="clip")
        total *= weights[0]
        term = np.empty_like(total)
        for positions, weight in zip(self.positions[1:], weights[1:], strict=True):
            picture.take(positions, axis=axis, out=term, mode="clip")
            term *= weight
            total += term
        return total

    def matrix(self, count: int) -> Float32:
        """Return the kernel as a matrix (places, count)."""
        weights = np.zeros((self.positions.shape[1], count), np.float32)
        at = np.arange(len(weights))
        for positions, values in zip(np.clip(self.positions, 0, count - 1), self.values, strict=True):
            weights[at, positions] += values
        return weights


@lru_cache(maxsize=1024)
def _places_and_taps(places: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (places,) of pixels, and the taps 1 … ``width`` of each, (width, 1)."""
    return np.arange(places) + 0.5, np.arange(1.0, width + 1)[:, np.newaxis]


def resize_luminance(picture: Luminance, height: int, width: int) -> Float32:
    """Resize a picture, or each of a stack (…, h, w)."""
    down, right = _resize_weights(height, picture.shape[-2]), _resize_weights(width, picture.shape[-1])
    return np.asarray(down @ picture @ right.T, np.float32)


@lru_cache(maxsize=1024)
def _resize_weights(length: int, count: int) -> Float32:
    """Return the weights that resize one axis; cached, as most pictures of a collection have one of a few shapes."""
    weights = _Kernel.of(0, length, count, count / length, 0.0).matrix(count)
    weights.setflags(write=False)
    return weights


def shrink_to(picture: Luminance, side: int) -> tuple[Luminance, tuple[float, float]]:
    """Shrink a picture to a longer side of at most ``side``; return the factors (height, width) too."""
    shrink = min(1.0, side / max(picture.shape))
    height, width = (max(8, round(length * shrink)) for length in picture.shape)
    return resize_luminance(picture, height, width), (height / picture.shape[0], width / picture.shape[1])


def fit_gain_offset(x: Luminance, y: Luminance) -> tuple[float, float]:
    """Fit gain and offset that map ``x`` to ``y`` by least squares."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    flat = (x - mean_x).reshape(-1)
    square = float(flat @ flat)
    gain = float(flat @ (y - mean_y).reshape(-1)) / square if square > 0 else 0.0
    return gain, mean_y - gain * mean_x


def correlate(x: Luminance, y: Luminance) -> float:
    """Return the correlation of two pictures of one shape, -1 … 1; 0 if one is blank."""
    flat_x, flat_y = (x - x.mean()).reshape(-1), (y - y.mean()).reshape(-1)
    norm = math.sqrt(float(flat_x @ flat_x) * float(flat_y @ flat_y))
    return float(flat_x @ flat_y) / norm if norm > 1e-6 else 0.0


def find_gradient(picture: Luminance) -> tuple[Float32, Float32]:
    """Return the central differences down and across of a picture, or of each of a stack, (…, h, w).

    Equal to those of ``np.gradient``, in half its time.
    """
    down, right = np.empty_like(picture), np.empty_like(picture)
    np.subtract(picture[..., 2:, :], picture[..., :-2, :], out=down[..., 1:-1, :])
    down[..., 1:-1, :] *= np.float32(0.5)
    down[..., 0, :], down[..., -1, :] = (picture[..., at, :] - picture[..., at - 1, :] for at in (1, -1))
    np.subtract(picture[..., 2:], picture[..., :-2], out=right[..., 1:-1])
    right[..., 1:-1] *= np.float32(0.5)
    right[..., 0], right[..., -1] = (picture[..., at] - picture[..., at - 1] for at in (1, -1))
    return down, right


def standardise(picture: Luminance) -> Float32:
    centred = picture - picture.mean()
    norm = float(np.sqrt((centred * centred).sum()))
    return np.asarray(centred / norm if norm > 1e-6 else centred, np.float32)
