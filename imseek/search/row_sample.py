"""Sample live rows of a space: evenly spread runs, the same for the same segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from imseek.data.vectors.base import Ids, Segment
from imseek.types.arrays import Float32

#: Maximum rows in the sample. Read in runs of ``_RUN_LENGTH`` rows, they take 2 MB in 512 dimensions.
SAMPLE: Final = 2048
_RUN_LENGTH: Final = 32


def sample_rows(segments: Sequence[Segment], most: int = SAMPLE) -> Float32:
    """Return at most ``most`` live rows (n, dim) from evenly spread runs; deterministic for the same segments."""
    rows_by_segment = zip(segments, _sampled_rows(segments, most), strict=True)
    samples = [segment.rows[rows].astype(np.float32) for segment, rows in rows_by_segment]
    return np.concatenate(samples) if samples else np.empty((0, 0), np.float32)


def sample_ids(segments: Sequence[Segment], most: int = SAMPLE) -> Ids:
    """Return the image ids (n,) int64 of the rows that :func:`sample_rows` returns, in the same order."""
    rows_by_segment = zip(segments, _sampled_rows(segments, most), strict=True)
    return np.concatenate([np.empty(0, np.int64), *(segment.ids[rows] for segment, rows in rows_by_segment)])


def _sampled_rows(segments: Sequence[Segment], most: int) -> Iterator[Ids]:
    """Yield the sampled row numbers of each segment."""
    total = sum(len(segment.ids) for segment in segments)
    runs = -(-total // _RUN_LENGTH)
    step = max(1, -(-total // most))
    run_numbers = np.arange(0, runs, step)
    row_numbers = (run_numbers[:, np.newaxis] * _RUN_LENGTH + np.arange(_RUN_LENGTH)).ravel()
    start = 0
    for segment in segments:
        end = start + len(segment.ids)
        rows = row_numbers[(row_numbers >= start) & (row_numbers < end)] - start
        yield np.setdiff1d(rows, segment.dead, assume_unique=True)
        start = end
