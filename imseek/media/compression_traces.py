"""Traces of compression and of enlargement in pictures: which of two copies has lost less."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.Image import Resampling

from imseek.types.arrays import Pixels

_Floats: TypeAlias = npt.NDArray[np.float32]

#: Luminance quantisation of quality 50, in rows (ITU-T T.81, annex K.1); other qualities of libjpeg are multiples.
_TABLE: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_LUMA_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)
#: Longer side of the middle of a picture that is looked at; a multiple of the blocks of JPEG.
_SIDE: Final = 2048
#: Blocks of 8 × 8 pixels that are looked at.
_BLOCKS: Final = 2048
#: Steps of quantisation that leave a trace: finer ones drown in the rounding of pixels.
_STEPS: Final = range(3, 100)
#: Bins for each level in which values are counted, up to the greatest possible value.
_BINS: Final = 8
_MAX_VALUE: Final = 1024
#: Frequencies looked at, (row, column): lower ones have many values that are not 0.
_FREQUENCIES: Final = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))
#: Least number of values of a frequency, and of frequencies that agree.
_LEAST_VALUES: Final = 40
_LEAST_FREQUENCIES: Final = 5
#: Least mean of the cosines of the values at a period: 1 if all are multiples of the step, 0 or less if none is.
_PERIODIC: Final = 0.5
#: A picture enlarged by a factor has less than this share of the detail of one that was not. The limits lie between 120
#: photographs and drawings and the same enlarged by bilinear, bicubic and Lanczos filters (docs/log.md).
_FACTORS: Final = (1.4, 1.5, 1.75, 2.0, 3.0, 4.0)
_SHARES: Final = (0.29, 0.25, 0.135, 0.09, 0.05, 0.03)
#: Least factor of an enlargement that can be seen.
LEAST_FACTOR: Final = _FACTORS[0]
#: For comparison, the middle of a picture is enlarged: its longer side, the filters used, and the least quality at
#: which the comparison is conclusive.
_SIMULATED_SIDE: Final = 1024
_FILTERS: Final = (Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS)
_LEAST_QUALITY: Final = 20
#: A picture that was not enlarged by a factor has at least this many times the detail. Filters leave more between
#: pixels where the factor is not whole.
_GAIN_FACTORS: Final = (2.0, 2.05, 2.75, 3.0, 4.0)
_GAINS: Final = (2.0, 1.4, 1.4, 1.8, 1.9)
#: Fewest blocks of 8 × 8 pixels that tell, and the energy of detail that cannot be seen.
_LEAST_BLOCKS: Final = 16
_FAINT: Final = 0.01


def jpeg_quality(data: bytes) -> int | None:
    """Estimate the quality, 1 to 100 as libjpeg counts, from the quantisation of a JPEG file; None if it has none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # A marker may have any number of fill bytes before it.
            at += 1
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or length < 2:
            break
        if marker == 0xDB and (table := _find_first_table(data[at + 4 : at + 2 + length])) is not None:
            # The largest steps may be cut off at 255.
            steps = table[table < 255]
            usual = np.sort(_TABLE, None)[: len(steps)]
            return _quality_of(100 * float(steps.sum()) / float(usual.sum())) if len(steps) else 1
        at += 2 + length
    return None


def _find_first_table(tables: bytes) -> npt.NDArray[np.integer[Any]] | None:
    """Return the steps (64,) of table 0, which is that of luminance, in a segment of tables; None if it has others."""
    while tables:
        width = 2 if tables[0] >> 4 else 1
        size = 64 * width
        if len(tables) < 1 + size:
            return None
        if not tables[0] & 15:
            return np.frombuffer(tables[1 : 1 + size], np.dtype(">u2" if width == 2 else "u1"))
        tables = tables[1 + size :]
    return None


def _quality_of(scale: float) -> int:
    """Return the quality whose table is ``scale`` per cent of the table of quality 50."""
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return int(min(100, max(1, round(quality))))


def earlier_jpeg_quality(pixels: Pixels) -> int | None:
    """Estimate the quality of the JPEG that pixels (h, w, 3) uint8 were decoded from, whatever file they are in.

    Coefficients of the blocks' cosine transform are then multiples of the quantisation's steps (Z. Fan and R. L. de
    Queiroz, "Identification of bitmap compression history", 2003). None if there is no trace: it never was a JPEG, its
    quality was above about 92, it has been resized, cropped or turned since, or there is too little detail.
    """
    blocks = _cut_blocks(_luminance(pixels))
    # Pixels that were clipped have changed the coefficients of their blocks.
    blocks = blocks[(blocks.min((1, 2)) > 1) & (blocks.max((1, 2)) < 254)]
    if len(blocks) < _LEAST_VALUES:
        return None
    blocks = blocks[np.linspace(0, len(blocks) - 1, min(len(blocks), _BLOCKS)).astype(np.int64)]
    coefficients = np.abs(_transform(blocks - 128))
    steps = _steps_of(np.stack([coefficients[:, row, column] for row, column in _FREQUENCIES]))
    scales = [
        100 * step / float(_TABLE[place]) for place, step in zip(_FREQUENCIES, steps, strict=True) if step is not None
    ]
    if len(scales) < _LEAST_FREQUENCIES:
        return None
    median = float(np.median(scales))
    agreeing = sum(abs(scale / median - 1) < 0.3 for scale in scales)
    return _quality_of(median) if agreeing >= 0.6 * len(scales) else None


def _steps_of(values: _Floats) -> list[int | None]:
    """Return for each of m frequencies the largest step that divides its larger values (m, n), or None."""
    bins = np.minimum((values * _BINS).astype(np.int64), _MAX_VALUE * _BINS - 1)
    small = _STEPS[-1] * _BINS // 2
    used = max(int(bins.max()) + 1, small)
    counts = np.stack([np.bincount(one, minlength=used) for one in bins])
    # Values above half a step.
    large = values.shape[1] - counts[:, :small].cumsum(axis=1)[:, [step * _BINS // 2 - 1 for step in _STEPS]]
    # Most bins are empty. Not as a product of matrices, which would wake the threads of BLAS for so little.
    filled = np.flatnonzero(counts.any(axis=0))
    waves = np.einsum("mb,sb->ms", counts[:, filled].astype(np.float32), _waves()[:, filled])
    periodic = (waves > _PERIODIC * large) & np.logical_and.accumulate(large >= _LEAST_VALUES, axis=1)
    return [
        max((step for step, is_found in zip(_STEPS, row, strict=True) if is_found), default=None)
        for row in periodic.tolist()
    ]


@cache
def _waves() -> _Floats:
    """Return cosines with each step as their period, (steps, bins); 0 at values too small to count for the step."""
    centres = (np.arange(_MAX_VALUE * _BINS, dtype=np.float32) + 0.5) / _BINS
    steps = np.array(_STEPS, np.float32)[:, None]
    waves: _Floats = np.where(centres > steps / 2, np.cos(2 * np.pi / steps * centres), 0).astype(np.float32)
    return waves


def _cut_blocks(luminance: _Floats) -> _Floats:
    """Return the blocks (n, 8, 8) of JPEG."""
    rows, columns = luminance.shape[0] // 8, luminance.shape[1] // 8
    return luminance[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def _transform(blocks: _Floats) -> _Floats:
    """Return the coefficients (n, 8, 8) of blocks."""
    cosines = _cosine_transform()
    return np.asarray(cosines @ blocks @ cosines.T, np.float32)


@cache
def _cosine_transform() -> _Floats:
    """Return the matrix (8, 8) of the cosine transform of JPEG."""
    n = np.arange(8)
    matrix = np.sqrt(2 / 8) * np.cos((2 * n[None] + 1) * n[:, None] * np.pi / 16)
    matrix[0] /= np.sqrt(2)
    transform: _Floats = matrix.astype(np.float32)
    return transform


def detail_share(pixels: Pixels, factor: float) -> float:
    """Return how much detail pixels (h, w, 3) uint8 have that a copy smaller by ``factor`` (> 1) would lack.

    It is the energy of what is lost by shrinking and enlarging, over that of the same in the smaller copy. Pictures
    have about as much of it at all scales, those that were enlarged by this factor next to none.
    """
    luminance = _luminance(pixels)
    small = _resized(luminance, 1 / factor)
    smaller = _resized(small, 1 / factor)
    finest, coarser = (
        _energy(one - _resized(less, 1, one.shape)) for one, less in ((luminance, small), (small, smaller))
    )
    return finest / coarser if coarser else 1.0


def is_enlarged(pixels: Pixels, factor: float, find_quality: Callable[[], int]) -> bool:
    """Return whether pixels (h, w, 3) uint8 have no more detail than a copy smaller by ``factor``. ``find_quality``
    returns the quality of JPEG that they were compressed at (more than 100: without loss), and is called if needed."""
    if factor < LEAST_FACTOR:
        return False
    if detail_share(pixels, factor) < float(np.interp(factor, _FACTORS, _SHARES)):
        return True
    if factor < _GAIN_FACTORS[0] or (quality := find_quality()) < _LEAST_QUALITY:
        return False
    gain = _detail_gain(_luminance(pixels, _SIMULATED_SIDE), factor, quality)
    return gain < float(np.interp(factor, _GAIN_FACTORS, _GAINS))


def _detail_gain(luminance: _Floats, factor: float, quality: int) -> float:
    """Return how many times as much detail there is as where a smaller copy is enlarged and stored at that quality.

    Detail is measured within the blocks of JPEG: what low quality leaves at their edges looks like detail. Infinity if
    there is too little to measure.
    """
    if luminance.size < 64 * _LEAST_BLOCKS or min(luminance.shape) < 8 or float(np.ptp(luminance)) < 1:
        return math.inf
    small = _resized(luminance, 1 / factor)
    simulated = [_stored(_resized(small, 1, luminance.shape, by), quality) for by in _FILTERS]
    return _block_detail(luminance, factor) / max(_block_detail(one, factor) for one in simulated)


def _block_detail(luminance: _Floats, factor: float) -> float:
    """Return the energy of the frequencies that a copy smaller by ``factor`` lacks, over that of the octave below."""
    energies = np.square(_transform(_cut_blocks(luminance))).mean(axis=0)
    places = np.maximum(*np.indices(energies.shape))
    first_lost = math.ceil(8 / factor)
    below = (places >= max(1, math.ceil(8 / factor**2))) & (places < first_lost)
    return (float(energies[places >= first_lost].sum()) + _FAINT) / (float(energies[below].sum()) + _FAINT)


def _stored(luminance: _Floats, quality: int) -> _Floats:
    """Return luminance rounded, and compressed at a quality of JPEG (more than 100: without loss)."""
    picture = Image.fromarray(np.clip(np.rint(luminance), 0, 255).astype(np.uint8))
    if quality <= 100:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        picture = Image.open(file)
    return np.asarray(picture, np.float32)


def _luminance(pixels: Pixels, most: int = _SIDE) -> _Floats:
    """Return the luminance (h, w) of the middle of a picture, at most ``most`` pixels wide and high."""
    starts = [max(0, side - most) // 16 * 8 for side in pixels.shape[:2]]
    middle = pixels[starts[0] : starts[0] + most, starts[1] : starts[1] + most]
    return middle.astype(np.float32) @ _LUMA_WEIGHTS


def _resized(
    luminance: _Floats, scale: float, shape: tuple[int, ...] = (), by: Resampling = Resampling.LANCZOS
) -> _Floats:
    height, width = shape or (max(8, round(side * scale)) for side in luminance.shape)
    return np.asarray(Image.fromarray(luminance).resize((width, height), by), np.float32)


def _energy(values: _Floats) -> float:
    return float(np.square(values).mean())
