"""Search for one picture in another at several sizes and all positions, by normalised cross-correlation.

J. P. Lewis, "Fast Normalized Cross-Correlation", 1995: numerators by Fourier transform, denominators from window sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.resampling import Luminance, resize_luminance, standardise
from imseek.types.arrays import Float32

Complex64: TypeAlias = npt.NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest ``correlation`` of a part of ``height`` by ``width`` pixels, and the position of its upper left
    corner."""

    correlation: float
    top: int
    left: int
    height: int
    width: int


class CorrelationSearch:
    """A picture (h, w) to search for others in; work common to all searches is done once.

    Windows that vary by less than ``noise`` grey levels (standard deviation) correlate with nothing.
    """

    def __init__(self, picture: Luminance, noise: float) -> None:
        centred = picture - picture.mean()
        self._shape: tuple[int, ...] = centred.shape
        self._noise = noise
        # Zeros to lengths that the transform is fast for; no position that is looked at reaches them.
        self._padded = tuple(_fast_length(side) for side in centred.shape)
        self._spectrum = np.fft.rfft2(centred, s=self._padded)
        self._sums, self._squares = _integral_image(centred), _integral_image(centred * centred)

    def peaks(self, part: Luminance, sizes: Sequence[tuple[int, int]]) -> Iterator[Peak]:
        """Yield the best position of ``part`` at each of ``sizes`` (height, width), none larger than the picture."""
        if not sizes:
            return
        height, width = self._shape
        spectra = np.stack([self._spectrum_of(standardise(resize_luminance(part, h, w))) for h, w in sizes])
        numerators = np.fft.irfft2(np.conj(spectra, out=spectra) * self._spectrum, s=self._padded)
        for n, (h, w) in enumerate(sizes):
            field = numerators[n, : height - h + 1, : width - w + 1] / self._norms(h, w)
            top, left = np.unravel_index(int(field.argmax()), field.shape)
            yield Peak(float(field[top, left]), int(top), int(left), h, w)

    def _spectrum_of(self, template: Luminance) -> Complex64:
        """Return the spectrum of a template, padded with zeros: as products with matrices, which leave out the zeros,
        in less time than by FFT."""
        (height, width), (down, across) = template.shape, self._padded
        wave = _fourier_matrix(across)[:width, : across // 2 + 1].view(np.float32)
        rows: Complex64 = (template @ wave).view(np.complex64)
        return np.asarray(_fourier_matrix(down)[:, :height] @ rows, np.complex64)

    def _norms(self, h: int, w: int) -> Float32:
        area = h * w
        variance = _window_sums(self._squares, h, w) - _window_sums(self._sums, h, w) ** 2 / area
        norms: Float32 = np.sqrt(np.maximum(variance, area * self._noise**2))
        return norms


@cache
def _fourier_matrix(side: int) -> Complex64:
    """Return the matrix (side, side) of the discrete Fourier transform."""
    places = np.arange(side)
    matrix: Complex64 = np.exp(-2j * np.pi / side * (np.outer(places, places) % side)).astype(np.complex64)
    matrix.setflags(write=False)
    return matrix


@cache
def _fast_length(side: int) -> int:
    """Return the first length from ``side`` on without prime factors above 5."""
    quotient = side
    for factor in (2, 3, 5):
        while quotient % factor == 0:
            quotient //= factor
    return side if quotient == 1 else _fast_length(side + 1)


def _integral_image(picture: Float32) -> np.ndarray:
    """Return the integral image, (h + 1, w + 1) float64."""
    return np.pad(picture.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _window_sums(sums: np.ndarray, h: int, w: int) -> np.ndarray:
    """Return the sums over all windows of h by w, from an integral image."""
    return np.asarray(sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w])
