"""A query as JSON: the schema and the reader agree, and what is written is read as the same."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.errors import QueryError
from imseek.search.query import Query, Term, make_query
from imseek.search.query_json import query_from_json, query_from_line, query_to_json
from imseek.search.query_options import QueryOptions

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/query.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

FULL = {
    "schema": 1,
    "text": ["a red car", {"text": "16:9", "weight": 2}],
    "like": ["night.jpg", "https://example.org/a.jpg", 17, {"picture": "eHl6", "weight": 0.5}],
    "not": ["snow", 3, {"url": "http://example.org/b", "weight": 2}],
    "limit": 5,
    "by": "caption",
    "where": "width > 100",
    "min_score": 0.2,
    "cutoff": "auto",
    "sort": "date",
    "group_by": "day",
    "per_group": 5,
    "diversity": 0.5,
    "rerank": "captions",
    "rerank_limit": 50,
    "collapse": True,
    "page": "token",
    "more": [4, 5],
    "less": [6],
    "hubness": True,
    "exact": True,
}


def test_the_schema_is_sound_and_has_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    own = {one.name for one in fields(Query)} - {"terms"}
    assert set(SCHEMA["properties"]) == own | {"schema", "text", "like", "not"} == set(FULL)


def test_everything_at_once() -> None:
    VALIDATOR.validate(FULL)
    query = query_from_json(FULL, files=True)
    assert query.terms == (
        Term(text="a red car"),
        Term(text="16:9", weight=2),
        Term(picture=Path("night.jpg")),
        Term(url="https://example.org/a.jpg"),
        Term(image_id=17),
        Term(picture=b"xyz", weight=0.5),
        Term(text="snow", weight=-0.5),
        Term(image_id=3, weight=-0.5),
        Term(url="http://example.org/b", weight=-1),
    )
    for name in set(FULL) - {"schema", "text", "like", "not", "more", "less"}:
        assert getattr(query, name) == FULL[name], name
    assert (query.more, query.less) == ((4, 5), (6,))


def test_one_needs_no_list() -> None:
    assert query_from_json({"text": "red", "like": 4, "not": {"text": "blue"}}, files=False).terms == (
        Term(text="red"),
        Term(image_id=4),
        Term(text="blue", weight=-0.5),
    )


def test_words_are_words_whatever_they_look_like() -> None:
    for words in ("/etc/passwd", "https://example.org/a.jpg", "2:red", "id:4", "-", "text:a"):
        query = query_from_json({"text": words, "not": words}, files=False)
        assert query.terms == (Term(text=words), Term(text=words, weight=-0.5))


def test_a_file_by_its_uri() -> None:
    for like in ("file:///a%20b.jpg", {"path": "FILE://localhost/a%20b.jpg"}):
        assert query_from_json({"like": like}, files=True).terms == (Term(picture=Path("/a b.jpg")),)
    with pytest.raises(QueryError, match="not a file on this machine"):
        query_from_json({"like": "file://elsewhere/a.jpg"}, files=True)


def test_a_vector() -> None:
    (term,) = query_from_json({"like": {"vector": [1, 0.5, -2], "weight": 3}}, files=False).terms
    assert term.vector is not None
    assert (term.vector.tolist(), term.weight) == ([1.0, 0.5, -2.0], 3)


def test_what_is_not_told_is_as_the_defaults_say() -> None:
    defaults = QueryOptions(limit=3, where="width > 1", sort="date")
    query = query_from_json({"text": "red", "where": None, "limit": 4}, files=True, defaults=defaults)
    assert (query.limit, query.where, query.sort) == (4, None, "date")
    assert query_from_line("2:red\r", files=True, defaults=defaults) == make_query([Term(text="2:red")], defaults)


# Each is refused by the schema too, but for what only the reader can tell.
REFUSED: list[tuple[Any, str]] = [
    ([], "is an object"),
    ({}, "at least one term"),
    ({"not": "snow"}, "more than negative terms"),
    ({"text": "a", "wehre": "x"}, "no member 'wehre'"),
    ({"text": "a", "schema": 2}, "schema 1"),
    ({"text": 4}, "text of a query cannot hold 4"),
    ({"text": None}, "cannot hold null"),
    ({"text": [["a"]]}, "cannot hold"),
    ({"text": ""}, "empty text"),
    ({"text": {"image_id": 4}}, "words only"),
    ({"like": True}, "cannot hold true"),
    ({"like": ""}, "empty path"),
    ({"like": {}}, "is not a term"),
    ({"like": {"path": "a", "url": "http://b"}}, "is not a term"),
    ({"like": {"path": "a", "wieght": 2}}, "is not a term"),
    ({"like": {"path": 4}}, "path of a term cannot be 4"),
    ({"like": {"image_id": "4"}}, "image_id of a term cannot be"),
    ({"like": {"image_id": 1.5}}, "image_id of a term cannot be"),
    ({"like": {"vector": "abc"}}, "vector of a term cannot be"),
    ({"like": {"vector": ["1"]}}, "list of numbers"),
    ({"like": {"vector": [True]}}, "list of numbers"),
    ({"like": {"url": "ftp://a/b"}}, "not an http"),
    ({"like": {"path": "a", "weight": 0}}, "above 0"),
    ({"like": {"path": "a", "weight": -1}}, "above 0"),
    ({"like": {"path": "a", "weight": "2"}}, "above 0"),
    ({"like": {"path": "a", "weight": True}}, "above 0"),
    ({"text": "a", "limit": 0}, "at least 1"),
    ({"text": "a", "limit": "5"}, "limit of a query cannot be"),
    ({"text": "a", "limit": None}, "limit of a query cannot be"),
    ({"text": "a", "by": "words"}, "compared by"),
    ({"text": "a", "where": ""}, "must not be empty"),
    ({"text": "a", "cutoff": "none"}, "cutoff is auto, or a share"),
    ({"text": "a", "sort": "size"}, "sort is one of"),
    ({"text": "a", "group_by": 1}, "group_by of a query cannot be"),
    ({"text": "a", "diversity": 2}, "from 0 to 1"),
    ({"text": "a", "rerank": ["x"]}, "rerank of a query cannot be"),
    ({"text": "a", "rerank_limit": 1001}, "from 1 to 1000"),
    ({"text": "a", "collapse": 1}, "collapse of a query cannot be"),
    ({"text": "a", "more": 4}, "more of a query cannot be"),
    ({"text": "a", "more": ["4"]}, "whole numbers"),
    ({"text": "a", "less": [-4]}, "whole numbers"),
]
ONLY_THE_READER: list[tuple[Any, str]] = [
    ({"like": {"picture": "not base64!"}}, "base64"),
    ({"like": {"vector": [10**400]}}, "too large"),
    ({"text": "a", "more": [4], "less": [4]}, "in more and in less"),
]


@pytest.mark.parametrize(("document", "message"), REFUSED + ONLY_THE_READER, ids=str)
def test_what_is_refused(document: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        query_from_json(document, files=True)
    assert VALIDATOR.is_valid(document) == ((document, message) in ONLY_THE_READER)


@pytest.mark.parametrize("like", ["/etc/passwd", "a.jpg", {"path": "/etc/passwd"}, "file:///etc/passwd"])
@pytest.mark.parametrize("place", ["like", "not"])
def test_a_query_from_elsewhere_reads_no_file(like: Any, place: str) -> None:
    if place == "not" and isinstance(like, str):
        assert query_from_json({"text": "a", "not": like}, files=False).terms[1].text == like
        return
    with pytest.raises(QueryError, match="cannot name files on this one"):
        query_from_json({"text": "a", place: like}, files=False)


@pytest.mark.parametrize(
    "line", ["{", '{"text": }', "{" * 100_000, '{"min_score": NaN}', '{"like": {"vector": [-Infinity]}}']
)
def test_lines_that_are_no_json(line: str) -> None:
    with pytest.raises(QueryError, match="not JSON"):
        query_from_line(line, files=True)


TERMS = st.builds(
    lambda values, weight, negative: Term(**values, weight=-weight if negative else weight),
    st.one_of(
        st.text(min_size=1).filter(str.strip).map(lambda text: {"text": text}),
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1).map(
            lambda path: {"picture": Path(path)}
        ),
        st.binary().map(lambda data: {"picture": data}),
        st.sampled_from(["http://a/b", "https://a.b/c?d#e"]).map(lambda url: {"url": url}),
        st.integers(0, 2**63).map(lambda image_id: {"image_id": image_id}),
    ),
    st.just(1.0) | st.just(0.5) | st.floats(min_value=1e-300, max_value=1e300),
    st.booleans(),
)
IDS = st.lists(st.integers(0, 50), max_size=4, unique=True)
QUERIES = st.builds(
    lambda terms, more, less, **others: Query(
        tuple(terms), more=tuple(more), less=tuple(set(less) - set(more)), **others
    ),
    st.lists(TERMS, min_size=1, max_size=5).filter(lambda terms: any(t.weight > 0 for t in terms)),
    IDS,
    IDS,
    limit=st.integers(1, 10**6),
    by=st.sampled_from(["image", "caption"]),
    where=st.none() | st.text(min_size=1).filter(str.strip),
    min_score=st.none() | st.floats(-1, 1),
    cutoff=st.sampled_from([None, "auto", "10%", "2.5%"]),
    sort=st.sampled_from(["score", "date"]),
    group_by=st.sampled_from([None, "folder", "day", "source"]),
    diversity=st.floats(0, 1),
    rerank=st.none() | st.from_regex(r"[a-z][a-z0-9_.-]{0,9}", fullmatch=True),
    rerank_limit=st.integers(1, 1000),
    collapse=st.booleans(),
    page=st.none() | st.just("token"),
    hubness=st.booleans(),
    exact=st.booleans(),
)


@given(QUERIES)
def test_what_is_written_is_read_as_the_same(query: Query) -> None:
    document = json.loads(json.dumps(query_to_json(query), allow_nan=False))
    VALIDATOR.validate(document)
    again = query_from_json(document, files=True)
    assert Counter(again.terms) == Counter(query.terms)
    assert replace(again, terms=query.terms) == query
    assert query_to_json(again) == document, "the order of terms is settled by the first writing"


def test_vectors_and_bytes_are_written_too() -> None:
    query = Query((Term(vector=np.array([0.1, 2], np.float32)), Term(picture=b"\0\xff")))
    document = query_to_json(query)
    assert document["like"][0]["vector"] == [float(np.float32(0.1)), 2.0]
    assert base64.b64decode(document["like"][1]["picture"]) == b"\0\xff"


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Term(vector=np.array([np.nan])), "no vector with NaN"),
        (Term(picture=Path("caf\udce9")), "not UTF-8"),
    ],
)
def test_what_json_cannot_hold(term: Term, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        query_to_json(Query((term,)))
