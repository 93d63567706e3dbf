"""What answers are judged by is made once: texts for an encoder, a sample for a generation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imseek
from imseek import Query, Term
from imseek.encoders.fake import FakeEncoder
from imseek.search import generations
from imseek.search.cutoff import NEUTRAL_TEXTS
from imseek.search.hubness import BANK_TEXTS

RED = Query((Term(text="red"),), cutoff="auto", hubness=True)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    real = FakeEncoder.encode_texts

    def encode(self: FakeEncoder, texts: Any) -> Any:
        found.append(tuple(texts))
        return real(self, texts)

    monkeypatch.setattr(FakeEncoder, "encode_texts", encode)
    return found


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    real = generations.sample_rows

    def sample(segments: Any, most: int) -> Any:
        rows = real(segments, most)
        found.append(len(rows))
        return rows

    monkeypatch.setattr(generations, "sample_rows", sample)
    return found


def test_once(collection: imseek.Collection, photos: Path, encoded: list[tuple[str, ...]], sampled: list[int]) -> None:
    collection.index([photos])
    collection.search(RED)
    assert encoded == [("red",), NEUTRAL_TEXTS, BANK_TEXTS]
    collection.search(RED)
    assert (encoded[3:], sampled) == ([], [8]), "the query's text is remembered too"
    (photos / "coffee.png").unlink()
    collection.index()
    collection.search(RED)
    assert (encoded[3:], sampled) == ([], [8, 7]), "a sample for each generation, no more texts"


def test_a_plain_search_makes_none(
    collection: imseek.Collection, photos: Path, encoded: list[tuple[str, ...]], sampled: list[int]
) -> None:
    collection.index([photos])
    collection.search("red")
    assert (encoded, sampled) == ([("red",)], [])


def test_neutral_texts_judge_words_alone(
    collection: imseek.Collection, photos: Path, encoded: list[tuple[str, ...]]
) -> None:
    collection.index([photos])
    for query in (
        Query((Term(picture=photos / "coffee.png"),), cutoff="auto", hubness=True),
        Query((Term(image_id=0),), cutoff="auto", hubness=True),
    ):
        collection.search(query)
    assert encoded == []
    collection.search(dataclasses.replace(RED, more=(0,)))
    assert encoded == [("red",)]


def test_hubs_by_definition(collection: imseek.Collection, photos: Path) -> None:
    """The mean of the 20 best cosines with everyday words, a quarter of it taken away."""
    collection.index([photos])
    bank = FakeEncoder().encode_texts(list(BANK_TEXTS)).astype(np.float64)
    hits = collection.search("red", limit=100, vectors=True)
    corrected = {}
    for hit in hits:
        assert hit.vector is not None
        best = np.sort(bank @ hit.vector.astype(np.float64))[-20:]
        corrected[hit.image_id] = hit.score - 0.25 * best.mean()
    found = collection.search(Query((Term(text="red"),), limit=100, hubness=True))
    values = [corrected[hit.image_id] for hit in found]
    assert values == pytest.approx(sorted(values, reverse=True), abs=1e-6)
    assert {hit.image_id: hit.score for hit in found} == {hit.image_id: hit.score for hit in hits}
