"""Terms as people type them."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from term_texts import format_term

from imseek.errors import QueryError
from imseek.search.query import Term
from imseek.search.term_parser import parse_term, split_weight


@pytest.mark.parametrize(
    ("said", "term"),
    [
        ("a red car", Term(text="a red car")),
        (" red ", Term(text="red")),
        ("2:a red car", Term(text="a red car", weight=2)),
        ("2: a red car", Term(text="a red car", weight=2)),
        ("0.5:./night.jpg", Term(picture=Path("night.jpg"), weight=0.5)),
        (".5:red", Term(text="red", weight=0.5)),
        ("2.:red", Term(text="red", weight=2)),
        ("1:16:9 screens", Term(text="16:9 screens")),
        ("16:9 screens", Term(text="9 screens", weight=16)),
        ("text:16:9 screens", Term(text="16:9 screens")),
        ("3:text:2:1", Term(text="2:1", weight=3)),
        ("text: kept ", Term(text=" kept ")),
        ("-1:snow", Term(text="-1:snow")),
        ("1e3:snow", Term(text="1e3:snow")),
        ("٣:snow", Term(text="٣:snow")),
        ("10:30", Term(text="30", weight=10)),
        ("https://example.org/a.jpg", Term(url="https://example.org/a.jpg")),
        ("HTTP://example.org/2:b", Term(url="HTTP://example.org/2:b")),
        ("2:http://example.org/a.jpg", Term(url="http://example.org/a.jpg", weight=2)),
        ("/a/b.jpg", Term(picture=Path("/a/b.jpg"))),
        ("../b.jpg", Term(picture=Path("../b.jpg"))),
        ("./2:b.jpg", Term(picture=Path("2:b.jpg"))),
        ("file:///a/b%20c.jpg", Term(picture=Path("/a/b c.jpg"))),
        ("FILE://localhost/a", Term(picture=Path("/a"))),
        ("file:///caf%E9", Term(picture=Path("/caf\udce9"))),
        ("~", Term(text="~")),
        (".hidden", Term(text=".hidden")),
        ("id:17", Term(image_id=17)),
        ("2:id:17", Term(image_id=17, weight=2)),
        ("id:", Term(text="id:")),
        ("id:card", Term(text="id:card")),
        ("id:-1", Term(text="id:-1")),
        ("night.jpg", Term(text="night.jpg")),
    ],
)
def test_what_is_typed(said: str, term: Term) -> None:
    assert parse_term(said) == term


@pytest.mark.parametrize(
    ("said", "term"),
    [
        ("night.jpg", Term(picture=Path("night.jpg"))),
        ("2:night.jpg", Term(picture=Path("night.jpg"), weight=2)),
        ("a b/night.jpg", Term(picture=Path("a b/night.jpg"))),
        ("./2:night.jpg", Term(picture=Path("2:night.jpg"))),
        ("http://a/b.jpg", Term(url="http://a/b.jpg")),
        ("id:3", Term(image_id=3)),
        ("text:red", Term(text="red")),
    ],
)
def test_where_a_picture_is_expected(said: str, term: Term) -> None:
    assert parse_term(said, picture=True) == term


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_term("~/a.jpg") == Term(picture=Path("/home/me/a.jpg"))
    assert parse_term("./~/a.jpg") == Term(picture=Path("~/a.jpg"))


def test_standard_input_is_read_only_where_it_may_be() -> None:
    assert parse_term("-", stdin=lambda: b"bytes") == Term(picture=b"bytes")
    assert parse_term("0.5:-", stdin=lambda: b"bytes") == Term(picture=b"bytes", weight=0.5)
    assert parse_term("./-") == Term(picture=Path("-"))
    with pytest.raises(QueryError, match="standard input"):
        parse_term("-")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", "empty text"),
        ("  ", "empty text"),
        ("2:", "empty text"),
        ("text:", "empty text"),
        ("0:red", "0 is not a weight"),
        ("0.000:red", "0.000 is not a weight"),
        ("9" * 400 + ":red", "is not a weight"),
        ("http://", "not an http or https URL"),
        ("file://elsewhere/a.jpg", "not a file on this machine"),
        ("file://[/a.jpg", "not a URI"),
        ("file://", "not a file on this machine"),
        ("file:///a%00b", "NUL"),
    ],
)
def test_what_makes_no_sense(said: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_term(said)


def test_an_empty_name_is_no_picture() -> None:
    with pytest.raises(QueryError, match="empty text"):
        parse_term(" ", picture=True)


WEIGHTS = st.floats(min_value=1e-300, max_value=1e300)
# Characters that decide, among others: colons, digits, slashes, dots, white space, dashes.
WORDS = st.text(st.sampled_from("0127:.-/~ \ttexid" + "hpsfile") | st.characters(), min_size=1).filter(str.strip)
PATHS = st.text(
    st.sampled_from("0127:.-/~ \t") | st.characters(exclude_characters="\0", exclude_categories=()),
    min_size=1,
).map(Path)
URLS = st.builds(
    "{}://{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.text(string.ascii_letters + string.digits + ":/?&=%#-._~ ", min_size=1).filter(
        lambda rest: not rest.startswith(("/", " "))
    ),
)
TERMS = st.one_of(
    st.builds(Term, text=WORDS, weight=WEIGHTS),
    st.builds(Term, text=WORDS),
    st.builds(Term, picture=PATHS, weight=WEIGHTS),
    st.builds(Term, picture=PATHS),
    st.builds(Term, url=URLS, weight=WEIGHTS),
    st.builds(Term, image_id=st.integers(0, 10**30)),
)


@given(TERMS, st.booleans())
@example(Term(text="16:9"), False)
@example(Term(text="text:a"), False)
@example(Term(text=" a"), False)
@example(Term(text="a", weight=1e-7), False)
@example(Term(picture=Path("~/a")), False)
@example(Term(picture=Path("2:a.jpg")), False)
@example(Term(picture=Path("-")), False)
def test_what_is_written_is_read_as_the_same(term: Term, picture: bool) -> None:
    if term.text is not None and picture:
        # A bare name would be a file here: words are told by their prefix.
        written = format_term(replace(term, weight=1.0))
        assert parse_term(written if written.startswith("text:") else f"text:{written}", picture=True).text == term.text
    else:
        assert parse_term(format_term(term), picture=picture) == term


@given(st.text())
def test_whatever_is_typed_is_a_term_or_refused(said: str) -> None:
    try:
        term = parse_term(said)
    except QueryError:
        return
    assert parse_term(format_term(term)) == term


@given(st.text())
def test_a_weight_is_found_once(said: str) -> None:
    weight, what = split_weight(f"1:{said}")
    assert (weight, what) == (1.0, said.lstrip())
