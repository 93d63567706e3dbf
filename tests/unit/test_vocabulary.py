"""How words that are being typed go on: what fits, in which order, and what is never suggested."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.analysis.word_completions import KINDS, Vocabulary, fold
from imseek.types.word_completions import Suggestion

WORDS = Vocabulary(
    {
        "person": {"Anna Bergström": 3, "Ben": 1},
        "keyword": {"Beach": 2, "brown bear": 9, "New York": 4},
        "tag": {"best of 2024": 7},
        "word": {"beach": 50, "bean": 5, "york": 1},
        "name": {"bear": 1_000, "bench": 2},
    }
)


def suggested(text: str, limit: int = 10) -> list[str]:
    return [one.text for one in WORDS.suggest(text, limit)]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        # What people said goes first, the most frequent of it before the others; inner words come last.
        ("be", ["Beach", "best of 2024", "Ben", "bear", "bean", "bench", "brown bear", "Anna Bergström"]),
        ("BEA", ["Beach", "bear", "bean", "brown bear"]),
        ("york", []),  # It is there already.
        ("new y", ["New York"]),
        ("yor", ["york", "New York"]),
        ("bergstrom", []),
        ("bergstr", ["Anna Bergström"]),
        ("anna bergstro", ["Anna Bergström"]),
        # The last words are continued behind the others; tags cannot stand there.
        ("red bro", ["red brown bear"]),
        ("in new yo", ["in New York"]),
        (
            "red be",
            ["red Beach", "red Ben", "red bear", "red bean", "red bench", "red brown bear", "red Anna Bergström"],
        ),
        ("-bea", ["-Beach", "-bear", "-bean", "-brown bear"]),
        ('"bean', []),
        ("2:ben", ["2:bench"]),
        ("", []),
        (" ", []),
        ("beach ", []),
        ("()*%_'\"", []),
        ("nothing", []),
    ],
)
def test_how_words_go_on(text: str, texts: list[str]) -> None:
    assert suggested(text) == texts


def test_a_limit_and_kinds() -> None:
    assert suggested("be", 2) == ["Beach", "best of 2024"]
    assert {one.kind for one in WORDS.suggest("b", 50)} == {*KINDS}
    assert [one.text for one in WORDS.suggest("be", 50, ["name", "person"])] == [
        "Ben",
        "bear",
        "bench",
        "Anna Bergström",
    ]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("tag:be", ["Beach", "best of 2024"]),
        ("TAG: BÉA", ["Beach"]),
        ("tag:beach", ["Beach"]),
        ("tag:", ["Beach", "best of 2024"]),
        ("tag:of", []),
        ("tag:bear", []),
    ],
)
def test_tags_behind_their_prefix(text: str, tags: list[str]) -> None:
    words = Vocabulary({"keyword": {"beach": 2, "bear": 9}, "tag": {"Beach": 8, "best of 2024": 7}})
    assert words.suggest(text, 5) == tuple(Suggestion(tag, "tag") for tag in tags)
    assert words.suggest(text, 1) == tuple(Suggestion(tag, "tag") for tag in tags[:1])
    assert words.suggest(text, 5, ["keyword"]) == ()


def test_nothing_to_suggest() -> None:
    assert Vocabulary({}).suggest("a", 5) == ()


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 9), max_size=30), st.text(max_size=6))
def test_every_suggestion_goes_on_from_what_was_typed(counts: dict[str, int], text: str) -> None:
    for one in Vocabulary({"keyword": counts}).suggest(text, 5):
        assert fold(one.text) != fold(text)
        assert any(
            one.text == text[:start] + entry and fold(text[start:]) in fold(entry)
            for entry in counts
            for start in range(len(text))
        )
