"""Page tokens: read back as written, and refused where they are damaged or of another query."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.errors import QueryError
from imseek.search import result_pages
from imseek.search.query import Query, Term
from imseek.search.result_pages import Page, digest

U64 = st.integers(0, 2**64 - 1)
PAGES = st.builds(
    Page,
    st.lists(U64, min_size=1, max_size=5).map(tuple),
    U64,
    st.integers(1, 2**32 - 1),
    st.binary(min_size=12, max_size=12),
)
ALPHABET = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(PAGES)
def test_a_token_reads_back(page: Page) -> None:
    token = page.token()
    assert set(token) <= ALPHABET
    assert len(token) <= 60 or len(page.generations) > 1
    assert Page.read(token, page.digest, len(page.generations)) == page


@given(PAGES, st.data())
def test_one_wrong_character_is_noticed(page: Page, data: st.DataObject) -> None:
    token = page.token()
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(sorted(ALPHABET - {token[at]})))
    with pytest.raises(QueryError, match="damaged"):
        Page.read(token[:at] + other + token[at + 1 :], page.digest, len(page.generations))


@given(PAGES, st.integers(1, 80))
def test_a_part_of_a_token_is_none(page: Page, length: int) -> None:
    token = page.token()
    with pytest.raises(QueryError, match="damaged"):
        Page.read(token[: -min(length, len(token))] or "?", page.digest, len(page.generations))


@given(st.text())
def test_any_text(text: str) -> None:
    with pytest.raises(QueryError, match="damaged"):
        Page.read(text, bytes(12))


def test_of_another_query_or_number_of_collections() -> None:
    page = Page((3,), 10, 11, b"a" * 12)
    for expected, collections in ((b"b" * 12, 1), (b"a" * 12, 2)):
        with pytest.raises(QueryError, match="another query"):
            Page.read(page.token(), expected, collections)


def test_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page((3,), 10, 11, b"a" * 12)
    monkeypatch.setattr(result_pages, "_VERSION", 1)
    token = page.token()
    monkeypatch.undo()
    with pytest.raises(QueryError, match="another version of imseek") as error:
        Page.read(token, page.digest)
    assert error.value.hint == "start again from the first page"


class TestDigest:
    QUERY = Query((Term(text="a cat"), Term(image_id=3, weight=-0.5)))

    def test_whoever_changes_it_changes_the_version_of_tokens(self) -> None:
        assert (result_pages._VERSION, digest(self.QUERY, ["u"]).hex()) == (2, "8934393841112fef18c5622f")

    def test_limit_and_page_do_not_count(self) -> None:
        other = dataclasses.replace(self.QUERY, limit=50, page="abc")
        assert digest(other, ["u"]) == digest(self.QUERY, ["u"])

    @pytest.mark.parametrize(
        "change",
        [
            {"where": "width > 3"},
            {"min_score": 0.2},
            {"cutoff": "auto"},
            {"sort": "date"},
            {"group_by": "day"},
            {"per_group": 4},
            {"diversity": 0.5},
            {"rerank": "captions"},
            {"rerank_limit": 50},
            {"collapse": True},
            {"more": (1,)},
            {"less": (1,)},
            {"hubness": True},
            {"exact": True},
            {"by": "caption"},
            {"terms": (Term(text="a cat"), Term(image_id=3, weight=-0.25))},
            {"terms": (Term(text="a cat"),)},
            {"terms": (Term(image_id=3, weight=-0.5), Term(text="a cat"))},
        ],
    )
    def test_everything_else_counts(self, change: dict[str, object]) -> None:
        assert digest(dataclasses.replace(self.QUERY, **change), ["u"]) != digest(self.QUERY, ["u"])  # type: ignore[arg-type]

    def test_every_field_is_tried_above(self) -> None:
        tried = set()
        for mark in self.test_everything_else_counts.pytestmark:  # type: ignore[attr-defined]
            tried |= {name for change in mark.args[1] for name in change}
        assert tried | {"limit", "page"} == {field.name for field in dataclasses.fields(Query)}

    def test_collections_and_their_order_count(self) -> None:
        found = {digest(self.QUERY, uuids) for uuids in (["a"], ["b"], ["a", "b"], ["b", "a"], ["ab"])}
        assert len(found) == 5

    def test_vectors_count_by_their_numbers(self) -> None:
        one, same, other = (Query((Term(vector=np.array(v)),)) for v in ([1.0, 2], [1.0, 2], [1.0, 3]))
        assert digest(one, []) == digest(same, [])
        assert digest(one, []) != digest(other, [])

    def test_a_picture_that_was_replaced_is_another_one(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(b"one")
        query = Query((Term(picture=tmp_path / "a.jpg"),))
        before = digest(query, [])
        assert digest(query, []) == before
        (tmp_path / "a.jpg").write_bytes(b"another")
        assert digest(query, []) != before

    def test_bytes_are_not_words(self) -> None:
        assert digest(Query((Term(text="a"),)), []) != digest(Query((Term(picture=b"a"),)), [])
