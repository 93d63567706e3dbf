"""Rankings: pages that are cut from them repeat nothing and leave nothing out, whatever an approximate index misses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.vectors import Matches
from imseek.data.vectors.scores import top_k
from imseek.search import retrieve
from imseek.search.query import Query, Term
from imseek.search.result_pages import Page, digest, page_window
from imseek.search.retrieve import rank_images


class Approximate:
    """Finds some of the best: which ones depends on how many it is asked for, as with a real one."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        # Many of equal score.
        self.scores = random.integers(0, max(2, count // 3), count).astype(np.float32)
        self.seed = seed
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, k: int, exact: bool) -> Matches:
        self.asked.append((k, exact))
        ids = np.arange(len(self.scores))
        if not exact:
            seen = np.random.default_rng((self.seed, k)).random(len(ids)) < 0.8
            ids = ids[seen]
        return top_k(ids, self.scores[ids], k)


def pages(search: Approximate, first: int, others: list[int]) -> list[list[int]]:
    """Pages to the last one, as the engine cuts them."""
    found, offset, sizes = [], 0, iter([first, *others])
    while True:
        limit = next(sizes, 7)
        count = min(offset + limit + 1, len(search.scores))
        matches, _ = rank_images(search, count, first + 1, exact=False)
        found.append(matches.ids[offset : offset + limit].tolist())
        offset += limit
        if offset >= len(matches):
            return found


@given(st.integers(1, 120), st.integers(0, 2**31), st.integers(1, 60), st.lists(st.integers(1, 30), max_size=6))
def test_pages_hold_every_image_once(count: int, seed: int, first: int, others: list[int]) -> None:
    before, retrieve.APPROXIMATE_DEPTH = retrieve.APPROXIMATE_DEPTH, 40  # type: ignore[misc]
    try:
        shown = [i for page in pages(Approximate(count, seed), first, others) for i in page]
    finally:
        retrieve.APPROXIMATE_DEPTH = before  # type: ignore[misc]
    assert sorted(shown) == list(range(count))


def test_the_first_page_is_what_its_search_found() -> None:
    search = Approximate(500, 1)
    matches, approximate = rank_images(search, 11, 11, exact=False)
    assert search.asked == [(11, False)]
    assert approximate
    assert matches.ids.tolist() == search(11, False).ids.tolist()


def test_the_second_page_asks_deeper_and_keeps_the_first() -> None:
    search = Approximate(5000, 2)
    matches, _ = rank_images(search, 21, 11, exact=False)
    assert search.asked == [(11, False), (1000, False)]
    first, deeper = search(11, False).ids.tolist(), search(1000, False).ids.tolist()
    assert matches.ids.tolist() == (first + [i for i in deeper if i not in first])[:21]


def test_beyond_a_thousand_all_is_exact_from_the_start_or_at_the_end() -> None:
    search = Approximate(5000, 3)
    matches, approximate = rank_images(search, 1500, 1001, exact=False)
    assert (search.asked, approximate) == ([(1500, True)], False)
    assert matches.ids.tolist() == search(1500, True).ids.tolist()
    search.asked.clear()
    matches, approximate = rank_images(search, 1500, 11, exact=False)
    assert (search.asked, approximate) == ([(11, False), (1000, False), (1500, True)], True)
    assert len(set(matches.ids.tolist())) == 1500


def test_the_first_search_is_not_repeated() -> None:
    search = Approximate(5000, 6)
    for count, depth, exact in ((11, 11, False), (21, 11, False), (30, 11, True), (1500, 1500, False)):
        expected = rank_images(search, count, depth, exact=exact)[0].ids.tolist()
        asked, first = list(search.asked), search(*search.asked[0])
        search.asked.clear()
        found = rank_images(search, count, depth, exact=exact, first=first)[0].ids.tolist()
        assert (found, search.asked) == (expected, asked[1:])
        search.asked.clear()


def test_exact_searches_ask_once() -> None:
    search = Approximate(100, 4)
    matches, approximate = rank_images(search, 30, 11, exact=True)
    assert (search.asked, approximate) == ([(30, True)], False)
    assert matches.scores.tolist() == sorted(search.scores.tolist(), reverse=True)[:30]


def test_a_page_that_ends_at_a_thousand_needs_no_exact_search() -> None:
    query = Query((Term(text="red"),), limit=1000)
    window = page_window(query, ["uuid"])
    assert (window.count, window.depth) == (1000, 1000)
    assert page_window(replace(query, limit=999), ["uuid"]).count == 1000
    assert page_window(replace(query, limit=1001), ["uuid"]).count == 1002
    token = Page((1,), 900, 11, digest(query, ["uuid"])).token()
    assert page_window(replace(query, limit=100, page=token), ["uuid"]).count == 1000
    assert page_window(replace(query, limit=101, page=token), ["uuid"]).count == 1002
    search = Approximate(5000, 5)
    rank_images(search, window.count, window.depth, exact=False)
    assert search.asked == [(1000, False)]
