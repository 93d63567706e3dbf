"""What somebody who browses has asked, found and chosen, without a screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from imseek.errors import QueryError
from imseek.search.query import Term
from imseek.types.pictures import Place
from imseek.types.search_results import Hit, SearchResult
from imseek.ui.terminal.browse_state import PAGE, BrowseQuery, BrowseResults, Window, facts_of, terms_of


def hit(n: int, **options) -> Hit:
    return Hit("u", n, 0.5, Place(0, b"/x/%d.png" % n, f"file:///x/{n}.png"), **options)


def result(start: int, count: int, *, page: str | None = None) -> SearchResult:
    hits = tuple(hit(n) for n in range(start, start + count))
    return SearchResult(hits, 1, 1000, "fake", next_page=page)


def test_a_line_is_terms() -> None:
    assert terms_of("a red car + 2:./night.jpg + id:7 + ") == (
        Term(text="a red car"),
        Term(picture=Path("night.jpg"), weight=2),
        Term(image_id=7),
    )
    assert terms_of("c++ + black+white") == (Term(text="c++"), Term(text="black+white"))
    assert BrowseQuery("  ").query() is None
    with pytest.raises(QueryError):
        terms_of("a cat + -")


class TestLiking:
    def test_more_and_less_refine_the_words(self) -> None:
        wish = (
            BrowseQuery("a cat", where="width > 3").toggle_feedback(3).toggle_feedback(5, wrong=True).toggle_feedback(4)
        )
        query = wish.query("token")
        assert query is not None
        assert (query.more, query.less, query.page, query.where) == ((3, 4), (5,), "token", "width > 3")
        assert (query.limit, query.terms) == (PAGE, (Term(text="a cat"),))

    def test_again_takes_it_back_and_the_other_changes_it(self) -> None:
        wish = BrowseQuery("a cat").toggle_feedback(3)
        assert wish.toggle_feedback(3).more == ()
        turned = wish.toggle_feedback(3, wrong=True)
        assert (turned.more, turned.less) == ((), (3,))
        assert turned.query() is not None


class TestFound:
    def test_pages_follow_each_other(self) -> None:
        found = BrowseResults()
        found.take(result(0, 60, page="a"), further=False)
        found.toggle(hit(2))
        assert (found.needs_next_page(29), found.needs_next_page(30)) == (False, True)
        found.take(result(60, 10), further=True)
        assert [one.image_id for one in found.hits] == list(range(70))
        assert not found.needs_next_page(69)
        found.take(result(200, 1), further=False)
        assert [one.image_id for one in found.hits] == [200]
        assert list(found.selection.values()) == [hit(2)]
        found.toggle(hit(2))
        assert found.selection == {}


class TestWindow:
    def test_it_scrolls_as_little_as_it_must(self) -> None:
        window = Window(4, 3)
        assert window.shown == range(0, 12)
        assert window.at(11, 100).top == 0
        down = window.at(12, 100)
        assert (down.top, down.shown) == (1, range(4, 16))
        assert down.at(4, 100).top == 1
        assert down.at(3, 100).top == 0
        assert window.at(99, 100).top == 22

    def test_it_stays_within_the_list(self) -> None:
        window = Window(4, 3)
        assert window.at(-1, 100).cursor == 0
        assert window.at(1000, 10).cursor == 9
        assert window.at(5, 0) == Window(4, 3)

    def test_another_size_keeps_the_cursor_in_sight(self) -> None:
        window = Window(4, 3).at(50, 100)
        for columns, rows in ((1, 1), (9, 2), (0, 0), (30, 10)):
            sized = window.with_size(columns, rows, 100)
            assert sized.cursor == 50
            assert 50 in sized.shown


def test_facts_are_lines_of_text_without_what_is_empty() -> None:
    facts = dict(facts_of(hit(1, metadata={"caption": "a\x1b[2Jb", "camera": None, "bytes": 12, "blur": 0.123456})))
    assert facts == {
        "score": "0.5000",
        "id": "1",
        "path": "/x/1.png",
        "caption": "a\\x1b[2Jb",
        "bytes": "12",
        "blur": "0.1235",
    }
