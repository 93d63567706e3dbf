"""Which candidates are looked at where there are too many."""

from __future__ import annotations

import numpy as np

from imseek.duplicates.candidates.candidate_limit import select_most_promising

DISTANCE = np.array([64, 3, 64, 8, 64, 20, 0], np.uint8)
COSINE = np.array([0.99, 0.1, np.nan, 0.95, 0.8, 0.9, 0.2], np.float32)


def chosen(most: int) -> list[int]:
    return np.flatnonzero(select_most_promising(DISTANCE, COSINE, near_bits=8, near_cosine=0.8, most=most)).tolist()


def test_very_near_hashes_first_then_cosines() -> None:
    assert chosen(1) == [6]
    assert chosen(2) == [1, 6]
    assert chosen(3) == [1, 3, 6]  # .95 and a near hash are more than .99 alone
    assert chosen(4) == [0, 1, 3, 6]
    assert chosen(6) == [0, 1, 3, 4, 5, 6]  # what is not known comes last


def test_near_hashes_of_unlike_pictures_come_after_like_ones() -> None:
    """Among a million pictures there are hundreds of thousands of them."""
    distance = np.array([10] * 50 + [64, 10, 4, 12], np.uint8)
    cosine = np.array([0.44] * 50 + [0.9, 0.7, 0.1, 0.8], np.float32)
    assert np.flatnonzero(select_most_promising(distance, cosine, 10, 0.9, 4)).tolist() == [50, 51, 52, 53]
    # Nor are they compared because there is room; where all can be compared, they are.
    assert np.flatnonzero(select_most_promising(distance, cosine, 10, 0.9, 20)).tolist() == [50, 51, 52, 53]
    assert select_most_promising(distance, cosine, 10, 0.9, 54).all()


def test_without_vectors_the_nearest_hashes_come_first() -> None:
    distance = np.array([10, 12, 8, 6, 64], np.uint8)
    unknown = np.full(5, np.nan, np.float32)
    for most, wanted in ((1, [3]), (2, [2, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])):
        assert np.flatnonzero(select_most_promising(distance, unknown, 10, 0.9, most)).tolist() == wanted


def test_all_where_they_are_few() -> None:
    assert chosen(7) == chosen(100) == list(range(7))
    assert select_most_promising(DISTANCE[:0], COSINE[:0], 8, 0.8).tolist() == []
