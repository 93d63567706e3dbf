"""Fuse the terms of a query into one vector per space.

Cosines between pictures are larger and spread wider than those between text and pictures, so pictures would dominate
a plain sum. Each term is therefore divided by the standard deviation of its cosines over a sample of the collection.
This ranks images exactly as a sum of z-scores does, since the mean that a z-score subtracts is the same for every
image, and the result is still one vector that any index can search. docs/decisions/0015-fusion.md lists the
alternatives measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, Segment
from imseek.types.arrays import Float32

Float64: TypeAlias = npt.NDArray[np.float64]

#: Maximum rows in the sample. Read in runs of ``_RUN_LENGTH`` rows, they take 2 MB in 512 dimensions.
SAMPLE: Final = 2048
_RUN_LENGTH: Final = 32
#: A shorter vector has no direction.
MIN_NORM: Final = 1e-6
#: With fewer rows the deviations are unreliable, and terms are summed unscaled.
_MIN_SAMPLE: Final = 32
#: Maximum boost of a term, relative to the term whose cosines spread widest.
_MAX_BOOST: Final = 10.0


def fuse_terms(units: Sequence[Float64], weights: Sequence[float], sample: Float32) -> tuple[Float64, float]:
    """Fuse terms into a direction (dim,), not normalised; also return the length of their plain sum.

    Both are zero if the terms cancel out. ``units`` are unit vectors (dim,) with ``weights``; ``sample`` (n, dim)
    holds rows of the collection. A single term is only weighted.
    """
    counts, stacked = np.array(weights), np.stack(units)
    plain: Float64 = counts @ stacked
    length = float(np.linalg.norm(plain))
    if length < MIN_NORM:
        return np.zeros_like(plain), 0.0  # what is left is rounding error
    if len(units) == 1 or len(sample) < _MIN_SAMPLE:
        return plain, length
    spreads = (sample.astype(np.float64) @ stacked.T).std(axis=0)
    widest = float(spreads.max())
    if widest < MIN_NORM:  # all rows are equal
        return plain, length
    direction: Float64 = (counts * widest / np.maximum(spreads, widest / _MAX_BOOST)) @ stacked
    return direction, length


def sample_rows(segments: Sequence[Segment], most: int = SAMPLE) -> Float32:
    """Return at most ``most`` live rows (n, dim) from evenly spread runs; deterministic for the same segments."""
    chosen = zip(segments, _sampled_rows(segments, most), strict=True)
    found = [segment.rows[rows].astype(np.float32) for segment, rows in chosen]
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


def sample_ids(segments: Sequence[Segment], most: int = SAMPLE) -> Ids:
    """Return the image ids (n,) int64 of the rows that :func:`sample_rows` returns, in the same order."""
    chosen = zip(segments, _sampled_rows(segments, most), strict=True)
    return np.concatenate([np.empty(0, np.int64), *(segment.ids[rows] for segment, rows in chosen)])


def _sampled_rows(segments: Sequence[Segment], most: int) -> Iterator[Ids]:
    """Yield the sampled row numbers of each segment."""
    total = sum(len(segment.ids) for segment in segments)
    runs = -(-total // _RUN_LENGTH)
    step = max(1, -(-total // most))
    chosen = np.arange(0, runs, step)
    wanted = (chosen[:, np.newaxis] * _RUN_LENGTH + np.arange(_RUN_LENGTH)).ravel()
    start = 0
    for segment in segments:
        end = start + len(segment.ids)
        rows = wanted[(wanted >= start) & (wanted < end)] - start
        yield np.setdiff1d(rows, segment.dead, assume_unique=True)
        start = end
