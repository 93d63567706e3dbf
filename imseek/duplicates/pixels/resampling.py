"""Resample one picture at the pixels of another: scale and shift along the axes, as two matrix products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

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
    down = _weights(shared.top, shared.height, b.shape[0], fit.sy, fit.ty)
    right = _weights(shared.left, shared.width, b.shape[1], fit.sx, fit.tx)
    return a[shared.top : shared.bottom, shared.left : shared.right], np.asarray(down @ b @ right.T, np.float32)


def draw_in_frame(picture: Luminance, fit: Fit) -> tuple[int, int, Luminance]:
    """Draw a picture at the pixels of a frame without edges, which ``fit`` maps to those of the picture.

    Returns the row and the column of the first pixel of the frame whose centre lies over the picture, and the picture.
    """
    (top, down), (left, right) = (
        _weights_in_frame(count, scale, shift)
        for count, scale, shift in ((picture.shape[0], fit.sy, fit.ty), (picture.shape[1], fit.sx, fit.tx))
    )
    return top, left, np.asarray(down @ picture @ right.T, np.float32)


def _weights_in_frame(count: int, scale: float, shift: float) -> tuple[int, Float32]:
    first = math.ceil((0.25 - shift) / scale - 0.5)
    end = math.floor((count - 0.25 - shift) / scale - 0.5) + 1
    return first, _weights(first, max(1, end - first), count, scale, shift)


def sample_overlap(
    a: Luminance, b: Luminance, shared: Overlap, fit: Fit, step: int
) -> tuple[Luminance, Luminance, Luminance, Luminance]:
    """Return every ``step``-th row and column of what :func:`cut_overlap` returns, and the central differences down and
    across of the second picture there; of the outermost ones, none is taken."""
    down = _weights(shared.top, shared.height, b.shape[0], fit.sy, fit.ty)
    right = _weights(shared.left, shared.width, b.shape[1], fit.sx, fit.tx)
    inner = slice(1, -1, step)
    target = a[shared.top : shared.bottom, shared.left : shared.right][inner, inner]
    rows, columns = down[inner] @ b, right[inner].T
    sampled = rows @ columns, _slope_weights(down, step) @ b @ columns, rows @ _slope_weights(right, step).T
    resampled, slope_down, slope_right = (np.asarray(values, np.float32) for values in sampled)
    return target, resampled, slope_down, slope_right


def _slope_weights(weights: Float32, step: int) -> Float32:
    """Return the weights (n, count) that resample the central differences at every ``step``-th inner place."""
    return np.asarray((weights[2::step] - weights[:-2:step]) / 2, np.float32)


def _weights(start: int, places: int, count: int, scale: float, shift: float) -> Float32:
    """Return weights (places, count) float32 that resample at places from ``start`` on; rows sum to 1. The kernel is a
    triangle as wide as the step."""
    reach = max(scale, 1.0)
    width = math.ceil(2 * reach)
    at, taps = _places_and_taps(places, width)
    centres = scale * at + (scale * start + shift - 0.5)
    first = np.floor(centres - reach)
    # The distance of each tap from the centre of its place.
    values = np.abs(taps - (centres - first)[:, None])
    values /= -reach
    values += 1
    np.maximum(values, 0, out=values)
    # Taps beyond the edges fall into a margin, which is cut off.
    offsets = first.astype(np.int64)
    before, after = max(0, -1 - int(offsets[0])), max(0, int(offsets[-1]) + width + 1 - count)
    if before:
        values[taps + first[:, None] < 0] = 0
    if after:
        values[taps + first[:, None] >= count] = 0
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1e-6)
    stride = before + count + after
    weights = np.zeros(places * stride, np.float32)
    weights[(offsets + (at - 0.5).astype(np.int64) * stride + before)[:, None] + taps.astype(np.int64)] = values
    return weights.reshape(places, stride)[:, before : before + count]


@lru_cache(maxsize=1024)
def _places_and_taps(places: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (places,) of pixels, and the taps 1 … width of each."""
    return np.arange(places) + 0.5, np.arange(1.0, width + 1)


def resize_luminance(picture: Luminance, height: int, width: int) -> Float32:
    """Resize a picture, or each of a stack (…, h, w)."""
    down, right = _resize_weights(height, picture.shape[-2]), _resize_weights(width, picture.shape[-1])
    return np.asarray(down @ picture @ right.T, np.float32)


@lru_cache(maxsize=1024)
def _resize_weights(length: int, count: int) -> Float32:
    """Return the weights that resize one axis; cached, as most pictures of a collection have one of a few shapes."""
    weights = _weights(0, length, count, count / length, 0.0)
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
