"""Which candidates are looked at where there are too many."""

from __future__ import annotations

import numpy as np

from imseek.duplicates.candidates.candidate_limit import select_most_promising

DISTANCE = np.array([64, 3, 64, 8, 64, 20, 0], np.uint8)
COSINE = np.array([0.99, 0.1, np.nan, 0.95, 0.8, 0.9, 0.2], np.float32)


def chosen(most: int) -> list[int]:
    return np.flatnonzero(select_most_promising(DISTANCE, COSINE, near_bits=8, most=most)).tolist()


def test_near_hashes_first_then_cosines() -> None:
    assert chosen(1) == [6]
    assert chosen(3) == [1, 3, 6]
    assert chosen(4) == [0, 1, 3, 6]
    assert chosen(6) == [0, 1, 3, 4, 5, 6]  # what is not known comes last


def test_all_where_they_are_few() -> None:
    assert chosen(7) == chosen(100) == list(range(7))
    assert select_most_promising(DISTANCE[:0], COSINE[:0], 8).tolist() == []
