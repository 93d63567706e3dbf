"""Integers without repeats, as NumPy's own function returns them."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.unique_numbers import unique_numbers


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint8])
@pytest.mark.parametrize("count", [0, 1, 2, 3000])
def test_the_same_numbers_as_numpy(dtype: type, count: int) -> None:
    rng = np.random.default_rng(count)
    numbers, others = (rng.integers(0, 200, count).astype(dtype) for _ in range(2))
    before = numbers.copy()
    for result, expected in (
        (unique_numbers(numbers), np.unique(numbers)),
        (unique_numbers(numbers, others), np.union1d(numbers, others)),
        (unique_numbers(np.sort(numbers)), np.unique(numbers)),
        (unique_numbers(np.unique(numbers)), np.unique(numbers)),
        (unique_numbers(numbers.reshape(1, -1)), np.unique(numbers)),
    ):
        assert result.dtype == dtype
        assert np.array_equal(result, expected)
    assert np.array_equal(numbers, before), "the argument is not sorted in place"


def test_extremes_and_a_result_of_its_own() -> None:
    numbers = np.array([2**63 - 1, -(2**63), 0, -1, 0])
    assert unique_numbers(numbers).tolist() == [-(2**63), -1, 0, 2**63 - 1]
    ascending = np.arange(5)
    unique_numbers(ascending)[0] = 9
    assert ascending[0] == 0
