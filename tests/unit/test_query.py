"""Terms and queries as values: what is taken, and what is refused with which words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imseek.errors import QueryError
from imseek.search.query import Query, Term, as_query
from imseek.search.query_options import option_fields

RED = Term(text="red")
#: No share of relevant images that a list may lose.
BAD_PROMISES = ("0%", "00.0%", "100%", "-1%", "ten", "10", "10 %", "10%\n", "1e1%", "٣%", "", "%", 0.1, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of text, picture, url, image_id and vector"),
        ({"text": "a", "url": "http://a/b"}, "exactly one"),
        ({"text": ""}, "empty text"),
        ({"text": " \t\n"}, "empty text"),
        ({"text": b"red"}, "the text of a term is a str, not a bytes"),
        ({"url": "ftp://example.org/a.jpg"}, "not an http or https URL: 'ftp://example.org/a.jpg'"),
        ({"url": "https://"}, "not an http"),
        ({"url": "https:///a.jpg"}, "not an http"),
        ({"url": "http://example.org/\r\nHost: x"}, "not an http"),
        ({"url": Path("a")}, "the url of a term is a str"),
        ({"image_id": True}, "the image_id of a term is an int, not a bool"),
        ({"picture": Path("a\0b")}, "a NUL byte"),
        ({"picture": "a.jpg"}, "a Path, or the bytes of a file, not a str"),
        ({"text": "a", "weight": 0}, "finite number other than 0"),
        ({"text": "a", "weight": float("inf")}, "finite number other than 0"),
        ({"text": "a", "weight": "2"}, "finite number other than 0"),
        ({"text": "a", "weight": None}, "finite number other than 0"),
    ],
)
def test_terms_that_are_none(values: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Term(**values)


def test_which_terms_show_something() -> None:
    shown = [Term(picture=b"x"), Term(picture=Path("a")), Term(url="HTTPS://a/b c"), Term(image_id=0)]
    assert [term.shows for term in (*shown, RED, Term(vector=np.ones(3)))] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"terms": ()}, "at least one term"),
        ({"terms": (), "more": (3,)}, "at least one term"),
        ({"terms": (Term(text="snow", weight=-1),)}, "more than negative terms"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"limit": 2.5}, "limit must be at least 1"),
        ({"limit": True}, "limit must be at least 1"),
        ({"by": "words"}, "by auto or by image or by caption or by text, not by words"),
        ({"where": ""}, "where must not be empty"),
        ({"where": 5}, "where is a str"),
        ({"page": " "}, "page must not be empty"),
        ({"min_score": float("nan")}, "min_score must be a finite number"),
        ({"min_score": "0.3"}, "min_score must be a finite number"),
        ({"min_score": 10**400}, "min_score must be a finite number"),
        ({"cutoff": "none"}, "a share of the relevant images to lose at most, such as 10%, not 'none'"),
        *(({"cutoff": value}, "cutoff is auto, or a share") for value in BAD_PROMISES),
        ({"sort": "size"}, "sort is one of score, date, not 'size'"),
        ({"sort": None}, "sort is one of score, date"),
        ({"group_by": "camera"}, "group_by is one of None, folder, day, source"),
        ({"diversity": 1.5}, "diversity is a number from 0 to 1"),
        ({"diversity": float("nan")}, "diversity is a number from 0 to 1"),
        ({"diversity": True}, "diversity is a number"),
        ({"rerank": " "}, "rerank must not be empty"),
        ({"rerank_limit": 0}, "rerank_limit is a number from 1 to 1000"),
        ({"collapse": 1}, "collapse is True or False"),
        ({"hubness": None}, "hubness is True or False"),
        ({"exact": "yes"}, "exact is True or False"),
        ({"more": 3}, "more holds ids"),
        ({"more": "12"}, "more holds ids"),
        ({"less": (1.5,)}, "less holds ids of images, which are whole numbers from 0"),
        ({"less": (-1,)}, "whole numbers from 0"),
        ({"more": (True,)}, "whole numbers from 0"),
        ({"more": (4, 7), "less": (7,)}, "image 7 is in more and in less"),
    ],
)
def test_queries_that_are_none(values: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Query(**{"terms": (RED,), **values})


def test_ids_are_kept_once_in_their_order_as_int() -> None:
    query = Query((RED,), more=[np.int64(5), 2, 5], less=(9,))  # type: ignore[arg-type]
    assert (query.more, query.less) == ((5, 2), (9,))
    assert {type(i) for i in query.more} == {int}
    assert hash(query) == hash(Query((RED,), more=(5, 2), less=(9,)))


def test_a_string_is_words_for_the_library_whatever_it_looks_like() -> None:
    for words in ("https://example.org/a.jpg", "2:red", "./a.jpg", "id:4"):
        assert as_query(words, limit=3).terms == (Term(text=words),)


def test_the_docs_have_every_option_and_its_flag() -> None:
    page = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `-")]
    shown = set(re.findall(r"--?([\w-]+)", " ".join(rows)))
    for name, one in option_fields().items():
        assert shown & {name.replace("_", "-"), (one.option.short or "")[1:]}, name
