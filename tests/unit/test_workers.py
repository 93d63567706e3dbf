"""The ordered map over threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from imseek.indexer.ordered_map import OrderedMap

pytestmark = pytest.mark.slow


def ordered(function, **options):  # type: ignore[no-untyped-def]
    settings = {"workers": 2, "lookahead": 6, "deadline": 5.0, "late": lambda item: f"late {item}"}
    return OrderedMap(function, **{**settings, **options})


def test_results_keep_the_order_of_the_items() -> None:
    def uneven(n: int) -> int:
        time.sleep(0.002 * (n % 3))
        return n * n

    assert list(ordered(uneven)(range(50))) == [n * n for n in range(50)]


def test_no_more_items_are_taken_than_the_lookahead_allows() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(100):
            taken += 1
            yield n

    for done, _ in enumerate(ordered(lambda n: n)(items()), start=1):
        assert taken <= done + 6


def test_an_error_is_raised_at_its_item() -> None:
    def fail(n: int) -> int:
        if n == 3:
            raise KeyError("three")
        return n

    results = ordered(fail)(range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="three"):
        next(results)


def test_a_stuck_item_is_given_up_and_the_rest_goes_on() -> None:
    release = threading.Event()
    waited_for: list[int] = []

    def stick(n: int) -> int:
        if n in (2, 4):
            release.wait(30)
            waited_for.append(n)
        return n

    try:
        results = list(ordered(stick, deadline=0.3)(range(20)))
        assert waited_for == [], "both are still stuck"
    finally:
        release.set()
    assert results == [f"late {n}" if n in (2, 4) else n for n in range(20)]


def test_threads_end_with_the_map() -> None:
    before = threading.active_count()
    assert len(list(ordered(lambda n: n)(range(10)))) == 10
    for _ in ordered(lambda n: n)(range(100)):
        break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
