"""Remove repeated integers from large arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Integer = TypeVar("_Integer", bound=np.integer)


def unique_numbers(*arrays: npt.NDArray[_Integer]) -> npt.NDArray[_Integer]:
    """Return the integers that are in any of the arrays, each once, ascending, as ``np.unique`` does, by sorting.

    From 2.3 on, NumPy hashes integers instead, which takes fifty times as long for a million.
    """
    numbers = np.concatenate([array.reshape(-1) for array in arrays])
    if not (numbers[1:] > numbers[:-1]).all():
        numbers.sort()
        is_first = np.ones(len(numbers), np.bool_)
        np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
        numbers = numbers[is_first]
    return numbers
