"""Near-duplicates: by vector, by hash where the vectors agree, and never by a hash that says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.near_duplicates import DUPLICATE_THRESHOLDS, SAME_COSINE, find_representatives, hamming


def at(*angles: float) -> np.ndarray:
    wide = np.array(angles)
    return np.stack([np.cos(wide), np.sin(wide)], axis=1).astype(np.float32)


def hashes(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def angle(cosine: float) -> float:
    return float(np.arccos(cosine))


def apart(bits: int) -> np.ndarray:
    """Two hashes that differ in so many bits."""
    base = (1 << 63) | 1
    return hashes(base, base ^ (((1 << bits) - 1) << 1))


@pytest.mark.parametrize(("least", "most"), DUPLICATE_THRESHOLDS)
def test_by_vector_and_hash(least: float, most: int) -> None:
    alike, unlike = angle(least + 0.005), angle(least - 0.005)
    assert find_representatives(at(0, alike), apart(most)).tolist() == [0, 0]
    assert find_representatives(at(0, alike), apart(most + 1)).tolist() == [0, 1]
    assert find_representatives(at(0, unlike), apart(most)).tolist() == [0, 1]


def test_what_is_near_by_one_sign_alone_is_not_the_same() -> None:
    assert find_representatives(at(0, 0), apart(17)).tolist() == [0, 1], "as b and d"
    assert find_representatives(at(0, angle(0.79)), apart(0)).tolist() == [0, 1]
    assert find_representatives(at(0, angle(0.85)), apart(11)).tolist() == [0, 1], "not alike enough for so many bits"


@pytest.mark.parametrize("known", [(0, 0), (0, 1), (1, 0)])
def test_a_hash_of_zero_says_nothing(known: tuple[int, int]) -> None:
    assert find_representatives(at(0, angle(SAME_COSINE + 0.001)), hashes(*known)).tolist() == [0, 0]
    assert find_representatives(at(0, angle(SAME_COSINE - 0.001)), hashes(*known)).tolist() == [0, 1]


def test_chains_do_not_join() -> None:
    step = angle(SAME_COSINE + 0.001)
    assert find_representatives(at(0, step, 2 * step, 3 * step), hashes(0, 0, 0, 0)).tolist() == [0, 0, 2, 2]


def test_the_best_stands_for_the_others() -> None:
    assert find_representatives(at(0, 1, 0, 1, 0), hashes(0, 0, 0, 0, 0)).tolist() == [0, 1, 0, 1, 0]
    assert find_representatives(at(), hashes()).tolist() == []


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 2**64 - 1))
def test_hamming(values: list[int], one: int) -> None:
    expected = [(value ^ one).bit_count() for value in values]
    assert hamming(hashes(*values), np.uint64(one)).tolist() == expected
