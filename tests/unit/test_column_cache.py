"""Columns and answers of filters that stay in memory: how many, and which go when there is no room."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imseek.search.where import filter_evaluation
from imseek.search.where.column_cache import ColumnCache
from imseek.search.where.filter_evaluation import Filters


def bytes_of(count: int) -> Any:
    return np.zeros(count, np.uint8)


def new_filter(cache: ColumnCache) -> None:
    cache.read(None, {})  # type: ignore[arg-type]


@pytest.fixture
def cache() -> ColumnCache:
    made = ColumnCache(100)
    new_filter(made)
    return made


def kept(cache: ColumnCache, names: str) -> str:
    """Which are there, without a look that would make them young."""
    return "".join(name for name in names if (name,) in cache._entries)


def test_the_column_that_was_asked_for_longest_ago_goes_first(cache: ColumnCache) -> None:
    for name in "abc":
        cache.keep((name,), bytes_of(30))
    new_filter(cache)
    assert cache.get(("a",)).nbytes == 30
    assert cache.get(("d",)) is None
    cache.keep(("d",), bytes_of(40))
    assert kept(cache, "abcd") == "acd"
    new_filter(cache)
    cache.keep(("e",), bytes_of(60))
    assert kept(cache, "abcde") == "de"


def test_a_filter_does_not_push_out_its_own_columns(cache: ColumnCache) -> None:
    for name in "abcd":
        cache.keep((name,), bytes_of(40))
    assert kept(cache, "abcd") == "ab"
    cache.keep(("e",), bytes_of(20))
    assert kept(cache, "abcde") == "abe"


def test_a_column_that_takes_the_place_of_another_counts_once(cache: ColumnCache) -> None:
    """However often, larger or smaller; what is there has room beside it, and nothing more."""
    for size in (60, 10, 60, 60, 50):
        new_filter(cache)
        cache.keep(("a",), bytes_of(size))
    assert cache.get(("a",)).nbytes == 50
    cache.keep(("b",), bytes_of(50))
    assert kept(cache, "ab") == "ab"
    new_filter(cache)
    cache.keep(("c",), bytes_of(1))
    assert kept(cache, "abc") == "bc"


def test_one_that_is_larger_than_all_is_not_kept(cache: ColumnCache) -> None:
    cache.keep(("a",), bytes_of(101))
    assert kept(cache, "a") == ""
    cache.keep(("a",), bytes_of(100))
    assert kept(cache, "a") == "a"


@pytest.mark.parametrize(("size", "left"), [(1, "cde"), (10, "de"), (100, "e")], ids=["many", "large", "too large"])
def test_answers_go_by_age_where_they_are_many_or_large(monkeypatch: pytest.MonkeyPatch, size: int, left: str) -> None:
    computed: list[str] = []

    def evaluate(_: Filters, __: Any, where: str) -> Any:
        computed.append(where)
        return np.arange(size)

    monkeypatch.setattr(filter_evaluation, "_MAX_CACHED_ANSWERS", 3)
    monkeypatch.setattr(Filters, "_evaluate", evaluate)
    filters, reader = Filters(memory=4 * 8 * 29), SimpleNamespace(generation=1)
    for where in "abcde":
        filters.ids(reader, where)  # type: ignore[arg-type]
    computed.clear()
    for where in left:
        filters.ids(reader, where)  # type: ignore[arg-type]
    assert not computed
    filters.ids(reader, chr(ord(left[0]) - 1))  # type: ignore[arg-type]
    assert computed == [chr(ord(left[0]) - 1)]
