"""Mapping in threads, a few items ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imseek.map_ahead import map_ahead


def test_results_come_in_order_and_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(3) as pool:
        results = map_ahead(pool, lambda item: item * item, items(), 4)
        assert next(results) == 0
        assert taken == [0, 1, 2, 3, 4]
        assert list(results) == [item * item for item in range(1, 20)]
        assert list(map_ahead(pool, str, (), 4)) == []


def test_an_error_reaches_the_caller() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda item: 1 // item, [1, 0, 1], 1)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
