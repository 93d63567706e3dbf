"""The texts of queries: encoded once while they are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from imseek.encoders.base import Encoder
from imseek.search import query_vectors
from imseek.search.query import Query, Term, as_query
from imseek.search.query_vectors import QueryEncoder
from imseek.types.spaces import SpaceInfo


class Counting:
    """Counts the texts that it encodes, as directions by their lengths."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"a note on {text}" for text in texts)


class Space:
    dim, fingerprint = 2, "one"


def test_one_term_has_the_same_direction_whatever_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueryEncoder, "encoder", lambda *_: cast(Encoder, Counting()))
    encoder, space = QueryEncoder(cast(Any, None), cast(Any, None)), cast(SpaceInfo, Space())
    for weight in (1.0, 0.25, 3.0):
        query = Query((Term(text="sea", weight=weight),))
        vectors = encoder.encode(query, cast(Any, None), [space], cast(Any, None))
        assert vectors.units[0] == pytest.approx(np.array([3, 1]) / np.sqrt(10), abs=1e-7)
        assert vectors.units[0].dtype == np.float32
        assert vectors.shares == (1.0,)


def test_a_text_is_encoded_once_while_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting()
    monkeypatch.setattr(QueryEncoder, "encoder", lambda *_: cast(Encoder, counting))
    monkeypatch.setattr(query_vectors, "_TEXTS", 2)
    encoder, space = QueryEncoder(cast(Any, None), cast(Any, None)), cast(SpaceInfo, Space())

    def encode(text: str) -> Any:
        return encoder.encode(as_query(text), cast(Any, None), [space], cast(Any, None))

    first, again = encode("sea"), encode("sea")
    assert np.array_equal(first.units[0], again.units[0])
    assert np.allclose(first.units[0], np.array([3, 1]) / np.sqrt(10))
    assert first.notes == again.notes == ("a note on sea",)
    encode("a cat"), encode("sea"), encode("boats"), encode("sea"), encode("a cat")
    assert counting.texts == ["sea", "a cat", "boats", "a cat"]
    monkeypatch.setattr(Space, "fingerprint", "another")
    encode("sea")
    assert counting.texts[-1] == "sea"
