"""Long texts in pieces: every piece fits, no piece could take one word more, nothing is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.encoders import chunking

pytestmark = pytest.mark.slow


def at_most(length: int):
    return lambda text: len(text) <= length


def test_a_text_that_fits_is_left_as_it_is() -> None:
    assert chunking.split_text("  two  words ", at_most(20)) == ["  two  words "]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("aa bb cc dd ee", ["aa bb", "cc dd", "ee"]),
        ("a\tb\n\nc d e f", ["a b c", "d e f"]),
        ("abcdefghijkl m", ["abcde", "fghij", "kl m"]),
        ("a bcdefghi", ["a", "bcdef", "ghi"]),
        ("abcdefghij", ["abcde", "fghij"]),
    ],
)
def test_pieces_are_filled(text: str, pieces: list[str]) -> None:
    assert chunking.split_text(text, at_most(5)) == pieces


def test_a_character_that_does_not_fit_is_a_piece() -> None:
    assert chunking.split_text("ab c", at_most(0)) == ["a", "b", "c"]


@given(st.text("ab \n", max_size=200), st.integers(1, 30))
def test_nothing_is_lost_and_no_piece_could_be_longer(text: str, length: int) -> None:
    fits = at_most(length)
    pieces = chunking.split_text(text, fits)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(map(fits, pieces))
    for piece, following in itertools.pairwise(pieces):
        joint = "" if "".join((piece, following)) in text else " "
        word = following.split()[0]
        assert not fits(piece + (joint or " ") + word) or not fits(piece + word)


def test_few_questions_are_asked() -> None:
    asked = 0

    def fits(text: str) -> bool:
        nonlocal asked
        asked += 1
        return len(text) <= 100

    assert len(chunking.split_text("word " * 10_000, fits)) == 500
    assert asked < 500 * 15


def test_only_texts_in_pieces_are_noted() -> None:
    assert chunking.notes([1, 3, 1], 77) == (
        "the text has more than 77 tokens: it was cut into 3 pieces, whose vectors were averaged",
    )
