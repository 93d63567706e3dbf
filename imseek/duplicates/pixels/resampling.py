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


def find_overlap(a: Luminance, b: Luminance, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of ``a`` whose centres lie over ``b``; both are contiguous."""
    found = []
    for count, other, scale, shift in (
        (a.shape[0], b.shape[0], fit.sy, fit.ty),
        (a.shape[1], b.shape[1], fit.sx, fit.tx),
    ):
        centres = scale * (np.arange(count) + 0.5) + shift
        found.append(np.flatnonzero((centres >= 0.25) & (centres <= other - 0.25)))
    return found[0], found[1]


def cut_overlap(
    a: Luminance, b: Luminance, rows: np.ndarray, columns: np.ndarray, fit: Fit
) -> tuple[Luminance, Luminance]:
    """Return the overlapping parts of both pictures, at the pixels of ``a``."""
    return a[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], resample(b, rows, columns, fit)


def resample(b: Luminance, rows: np.ndarray, columns: np.ndarray, fit: Fit) -> Float32:
    """Resample ``b`` at pixels of ``a`` by two matrix products."""
    down = _weights(rows, b.shape[0], fit.sy, fit.ty)
    right = _weights(columns, b.shape[1], fit.sx, fit.tx)
    return np.asarray(down @ b @ right.T, np.float32)


def _weights(places: np.ndarray, count: int, scale: float, shift: float) -> Float32:
    """Return resampling weights (m, count) float32; rows sum to 1. The kernel is a triangle as wide as the step."""
    centres = scale * (places + 0.5) + (shift - 0.5)
    reach = max(scale, 1.0)
    taps = np.floor(centres - reach)[:, None] + np.arange(1, math.ceil(2 * reach) + 1)
    values = np.maximum(1 - np.abs(taps - centres[:, None]) / reach, 0)
    values[(taps < 0) | (taps >= count)] = 0
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1e-6)
    weights: Float32 = np.zeros((len(places), count), np.float32)
    rows, columns = np.nonzero(values)
    weights[rows, taps[rows, columns].astype(np.int64)] = values[rows, columns]
    return weights


def resize_luminance(picture: Luminance, height: int, width: int) -> Float32:
    down, right = _resize_weights(height, picture.shape[0]), _resize_weights(width, picture.shape[1])
    return np.asarray(down @ picture @ right.T, np.float32)


@lru_cache(maxsize=1024)
def _resize_weights(length: int, count: int) -> Float32:
    """Return the weights that resize one axis; cached, as most pictures of a collection have one of a few shapes."""
    weights = _weights(np.arange(length), count, count / length, 0.0)
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


def find_gradient(picture: Luminance) -> tuple[Float32, Float32]:
    """Return the central differences down and across, as ``np.gradient`` does, in half its time."""
    down, right = np.empty_like(picture), np.empty_like(picture)
    np.subtract(picture[2:], picture[:-2], out=down[1:-1])
    down[1:-1] *= np.float32(0.5)
    down[0], down[-1] = picture[1] - picture[0], picture[-1] - picture[-2]
    np.subtract(picture[:, 2:], picture[:, :-2], out=right[:, 1:-1])
    right[:, 1:-1] *= np.float32(0.5)
    right[:, 0], right[:, -1] = picture[:, 1] - picture[:, 0], picture[:, -1] - picture[:, -2]
    return down, right


def standardise(picture: Luminance) -> Float32:
    centred = picture - picture.mean()
    norm = float(np.sqrt((centred * centred).sum()))
    return np.asarray(centred / norm if norm > 1e-6 else centred, np.float32)
