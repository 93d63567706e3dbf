"""Several terms become one direction in a space.

The cosines of a picture with other pictures are larger and spread wider than those of words with pictures, so in a
plain sum pictures decide. Each term is divided by the standard deviation of its cosines over a sample of the
collection instead: this orders images exactly as the sum of standardised scores (z-scores) does, since what a z-score
takes away is the same for every image, and it is still one vector, which any index can search.
docs/decisions/0015-fusion.md has what else was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, Segment
from imseek.types import Float32

Float64: TypeAlias = npt.NDArray[np.float64]

#: Rows that the sample has at most. Read from where they lie in runs of ``_RUN``, they take 2 MB in 512 dimensions.
SAMPLE: Final = 2048
_RUN: Final = 32
#: A vector that is no longer has no direction.
SHORTEST: Final = 1e-6
#: With fewer rows, deviations say little: then terms are added up as they are.
_FEWEST: Final = 32
#: A term counts at most so many times as much as one whose cosines spread widest.
_MOST: Final = 10.0


def blend(units: Sequence[Float64], weights: Sequence[float], sample: Float32) -> tuple[Float64, float]:
    """The direction (dim,) of terms, not normalised, and how long their plain sum is; zeros where terms cancel out.

    ``units`` are unit vectors (dim,), ``weights`` theirs; ``sample`` (n, dim) holds rows of the collection. One term is
    left as it is.
    """
    counts, stacked = np.array(weights), np.stack(units)
    plain: Float64 = counts @ stacked
    length = float(np.linalg.norm(plain))
    if length < SHORTEST:
        return np.zeros_like(plain), 0.0  # whatever is left is rounding
    if len(units) == 1 or len(sample) < _FEWEST:
        return plain, length
    spreads = (sample.astype(np.float64) @ stacked.T).std(axis=0)
    widest = float(spreads.max())
    if widest < SHORTEST:  # all rows are the same
        return plain, length
    direction: Float64 = (counts * widest / np.maximum(spreads, widest / _MOST)) @ stacked
    return direction, length


def sample_rows(segments: Sequence[Segment], most: int = SAMPLE) -> Float32:
    """(n, dim) live rows, at most ``most``, from evenly spread runs: always the same of the same segments."""
    chosen = zip(segments, _sampled(segments, most), strict=True)
    found = [segment.rows[rows].astype(np.float32) for segment, rows in chosen]
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


def sample_ids(segments: Sequence[Segment], most: int = SAMPLE) -> Ids:
    """(n,) int64: the images whose rows :func:`sample_rows` gives, in its order."""
    chosen = zip(segments, _sampled(segments, most), strict=True)
    return np.concatenate([np.empty(0, np.int64), *(segment.ids[rows] for segment, rows in chosen)])


def _sampled(segments: Sequence[Segment], most: int) -> Iterator[Ids]:
    """Row numbers of each segment."""
    total = sum(len(segment.ids) for segment in segments)
    runs = -(-total // _RUN)
    step = max(1, -(-total // most))
    chosen = np.arange(0, runs, step)
    wanted = (chosen[:, np.newaxis] * _RUN + np.arange(_RUN)).ravel()
    start = 0
    for segment in segments:
        end = start + len(segment.ids)
        rows = wanted[(wanted >= start) & (wanted < end)] - start
        yield np.setdiff1d(rows, segment.dead)
        start = end
