"""The query in the address: there and back, and whatever else is typed there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.errors import QueryError
from imseek.search.query import Query, Term
from imseek.ui.web import search_state
from imseek.ui.web.search_state import QueryPart, SearchState

HASH = "0a" * 32

weights = st.floats(1e-6, 1e6)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
#: As the page writes them, and in pixels.
regions = st.none() | st.sampled_from([(0.25, 0.1, 0.5, 0.3333), (0.0, 0.0, 1.0, 1.0), (10.0, 20.0, 640.0, 480.0)])
parts = st.one_of(
    st.builds(QueryPart, st.just("words"), texts.map(str.strip).filter(bool), weights, st.booleans()),
    st.builds(QueryPart, st.just("image"), st.integers(0, 2**63 - 1).map(str), weights, st.booleans(), regions),
    st.builds(QueryPart, st.just("upload"), st.just(HASH), weights, st.booleans(), regions),
)


@given(
    st.lists(parts, max_size=16),
    st.lists(texts.map(str.strip).filter(bool), max_size=3),
    st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=6),
    st.booleans(),
    st.floats(0, 1),
)
def test_an_address_says_what_was_asked(
    some: list[QueryPart], where: list[str], ids: list[int], on: bool, diversity: float
) -> None:
    order = {"q": 0, "like": 1, "not": 2, "unlike": 3}
    made = SearchState(
        tuple(sorted(some, key=lambda one: order[one.written()[0]])),
        tuple(where),
        tuple(ids[:3]),
        tuple(ids[3:]),
        by="caption" if on else "image",
        group_by="day" if on else None,
        cutoff=not on,
        collapse=on,
        diversity=diversity,
        rerank="colours" if on else None,
        limit=30 if on else 60,
        page="abc-_" if on else None,
    )
    address = parse_qs(urlencode(made.parameters("a b&c"), doseq=True))
    assert address.pop("c") == ["a b&c"]
    assert search_state.parse_address(address) == search_state.ParsedAddress(made)


def test_near_duplicates_are_one_where_all_that_is_relevant_is_known() -> None:
    def collapses(**changes: Any) -> bool:
        return search_state.text_search("a cat").with_changes(**changes).query(lambda name: b"").collapse

    assert collapses()
    assert collapses(cutoff="10%")
    assert not collapses(collapse=False)
    assert not collapses(cutoff=False)  # The list goes on to the last picture.
    assert not collapses(sort="date")
    assert not collapses(by="text")
    assert search_state.parse_address({"q": ["a cat"], "collapse": ["off"]}).state.parameters()["collapse"] == ["off"]


@given(st.dictionaries(st.sampled_from(sorted(search_state.PARAMETERS)), st.lists(st.text(max_size=30), max_size=3)))
def test_whatever_is_typed_into_an_address_is_read_or_named(anything: dict[str, list[str]]) -> None:
    found = search_state.parse_address(anything)
    again = search_state.parse_address(found.state.parameters())
    assert again == search_state.ParsedAddress(found.state)
    assert isinstance(found.state.empty or found.state.condition, bool | str | None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q", "0:nothing"),
        ("q", "9" * 400 + ":too much"),
        ("q", "x" * 5000),
        ("like", "/etc/passwd"),
        ("like", "http://example.org/a.jpg"),
        ("like", "id:9223372036854775808"),
        ("like", "upload:../../token"),
        ("unlike", "id:"),
        ("more", "five"),
        ("by", "smell"),
        ("sort", "DATE"),
        ("group", "camera"),
        ("cutoff", "maybe"),
        ("diversity", "nan"),
        ("diversity", "1.5"),
        ("rerank", "../colours"),
        ("n", "1e9"),
        ("n", "0"),
        ("page", "<script>"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(name: str, value: str) -> None:
    found = search_state.parse_address({"q": ["a dog"], name: ["a dog", value] if name == "q" else [value]})
    assert found.state == search_state.text_search("a dog")
    (said,) = found.unread
    assert said.startswith(f"{name}={value[:60]}")
    assert len(said) <= 81


def test_an_image_is_not_both_right_and_wrong() -> None:
    found = search_state.parse_address({"more": ["5,6"], "less": ["6", "7"]})
    assert (found.state.more, found.state.less, found.unread) == ((5, 6), (7,), ("less=6",))


def test_too_many_parts_are_named() -> None:
    found = search_state.parse_address({"q": [f"word {n}" for n in range(18)]})
    assert len(found.state.parts) == 16
    assert found.unread == ("q=word 16", "q=word 17")


def test_the_query_that_is_meant() -> None:
    made = search_state.parse_address(
        {
            "q": ["a dog", "2:beach", "1:16:9"],
            "not": ["snow", "2:rain"],
            "like": ["id:5", f"0.5:upload:{HASH}"],
            "where": ["year > 2020", "width > 3 OR height > 4"],
            "more": ["7"],
            "cutoff": ["off"],
            "group": ["day"],
            "rerank": ["colours"],
            "n": ["20"],
        }
    ).state
    seen: list[str] = []

    def upload(name: str) -> bytes:
        seen.append(name)
        return b"bytes"

    assert made.query(upload) == Query(
        (
            Term(text="a dog"),
            Term(text="beach", weight=2),
            Term(text="16:9"),
            Term(image_id=5),
            Term(picture=b"bytes", weight=0.5),
            Term(text="snow", weight=-0.5),
            Term(text="rain", weight=-1),
        ),
        limit=20,
        where="(year > 2020) AND (width > 3 OR height > 4)",
        group_by="day",
        per_group=6,
        rerank="colours",
        more=(7,),
    )
    assert seen == [HASH]


def test_the_cutoff_is_on_and_dates_have_no_diversity() -> None:
    query = search_state.parse_address({"q": ["a"], "sort": ["date"], "diversity": ["0.3"]}).state.query(lambda _: b"")
    assert (query.cutoff, query.sort, query.diversity) == ("auto", "date", 0.0)


def test_pictures_that_were_right_are_enough() -> None:
    found = search_state.parse_address({"more": ["7", "8"], "less": ["9"]}).state
    assert not found.empty
    query = found.query(lambda _: b"")
    assert query == Query(
        (Term(image_id=7), Term(image_id=8)), limit=60, cutoff="auto", collapse=True, per_group=6, less=(9,)
    )
    assert search_state.parse_address({"less": ["9"], "where": ["year > 2020"]}).state.empty


def test_links_of_other_pages() -> None:
    assert search_state.more_like(5).parameters("my photos") == {"c": ["my photos"], "like": ["id:5"]}
    assert search_state.filtered_search("tag('cat')").parameters("a") == {"c": ["a"], "where": ["tag('cat')"]}
    assert search_state.text_search(" a dog ").parameters("a") == {"c": ["a"], "q": ["a dog"]}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a dog", QueryPart("words", "a dog")),
        (" 2:beach ", QueryPart("words", "beach", 2.0)),
        ("-snow", QueryPart("words", "snow", 1.0, True)),
        ("-2:snow", QueryPart("words", "snow", 2.0, True)),
        ("- snow", QueryPart("words", "- snow")),
        ("-", QueryPart("words", "-")),
        ("id:17", QueryPart("image", "17")),
        ("id:17@.25,.25,.5,.5", QueryPart("image", "17", region=(0.25, 0.25, 0.5, 0.5))),
        ("id:17@home", QueryPart("words", "id:17@home")),
        ("-0.5:id:017", QueryPart("image", "17", 0.5, True)),
        ("text:id:17", QueryPart("words", "id:17")),
        ("16:9", QueryPart("words", "9", 16.0)),
        ("", None),
        ("  text: ", None),
    ],
)
def test_what_is_typed(text: str, part: QueryPart | None) -> None:
    assert search_state.parse_typed(text) == part


@pytest.mark.parametrize("text", ["0:dog", "id:9999999999999999999", "x" * 5000, "id:17@1,2,3"])
def test_what_cannot_be_typed(text: str) -> None:
    with pytest.raises(QueryError) as refused:
        search_state.parse_typed(text)
    assert refused.value.hint


def test_changes_begin_on_the_first_page() -> None:
    dog = SearchState((QueryPart("words", "a dog"),), page="abc")
    assert dog.with_part(QueryPart("words", "a dog", 2.0)) == SearchState((QueryPart("words", "a dog", 2.0),))
    both = dog.with_part(QueryPart("image", "5"))
    assert both == SearchState((QueryPart("words", "a dog"), QueryPart("image", "5")))
    assert both.without_part(0) == search_state.more_like(5)
    right = both.mark(7, right=True)
    assert (right.more, right.less) == ((7,), ())
    wrong = right.mark(7, right=False)
    assert (wrong.more, wrong.less) == ((), (7,))
    assert wrong.mark(7, right=False).less == ()


def test_a_promise_of_the_cutoff_in_the_address() -> None:
    asked = search_state.parse_address({"q": ["a cat"], "cutoff": ["10%"]}).state
    assert (asked.cutoff, asked.query(str.encode).cutoff) == ("10%", "10%")
    assert asked.parameters() == {"q": ["a cat"], "cutoff": ["10%"]}
    assert search_state.parse_address({"q": ["a cat"], "cutoff": ["0%"]}).unread == ("cutoff=0%",)
