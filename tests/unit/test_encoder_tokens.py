"""CLIP's tokens without open_clip: equal to open_clip's, whatever the text."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

from imseek.encoders import chunking
from imseek.encoders.openclip import export, tokens

pytestmark = pytest.mark.slow

WORDS = """
a photo of the red car dog's they're I've we'll he'd can't naïve café cats running 2024 1,000 3.14 x2 iPhone
<start_of_text> <end_of_text> <END_OF_TEXT> &amp; &lt;b&gt; &eacute; &EACUTE; &#233; &#x1F600; &amp;amp;quot; &nbsp;
â€™ Ã© schÃ¶n ðŸ˜€ donâ€™t http://x.y/z?a=b&c=d foo_bar __ \x1b[31mred\x1b[0m
""".split()  # noqa: SIM905 - a list would take forty lines
CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    "!?.,;:'\"()[]{}<>&%$#@*/\\-_=+~`|^",
    "éèüßñçøåæœÿÀÖĐİıſK",
    "абвгдежз",
    "αβγδ",
    "猫犬日本語한국어",
    "ا ب ت",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea",
    "\u0301\u0308\u20dd",
    "½²Ⅷ٣५",
    " \t\n\r\x0b\x0c\u00a0\u2003\u3000\u200b\x85\u2028",
    "\x00\x07\x1b\x1c\x1f\x7f\x80\x9f",
    "ﬁﬂＡｂ１～",
    "‘’“”–—…",
)


def prompts(count: int) -> list[str]:
    """Prompts that never change: words as people and web pages write them, and odd characters among them."""
    chance = random.Random(4)

    def word() -> str:
        if chance.random() < 0.6:
            return chance.choice(WORDS)
        kinds = CHARACTERS if chance.random() < 0.4 else CHARACTERS[:3]
        return "".join(chance.choice(chance.choice(kinds)) for _ in range(chance.randint(1, 12)))

    found: dict[str, None] = {}  # a set whose order never changes
    while len(found) < count:
        between = chance.choice([" ", " ", " ", "  ", "\n", "\t", " \u00a0", ""])
        found[between.join(word() for _ in range(chance.choice([1, 2, 3, 5, 8, 40])))] = None
    return list(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    export._write_tokenizer(folder, SimpleTokenizer())
    return folder


def both(folder: Path, **options: object) -> tuple[SimpleTokenizer, tokens.Tokenizer]:
    theirs = SimpleTokenizer(**options)  # type: ignore[arg-type]
    return theirs, tokens.read_tokenizer(folder, {"context_length": 77, "clean": "lower"} | options)


def test_ten_thousand_prompts(folder: Path) -> None:
    theirs, ours = both(folder)
    texts = prompts(10_000)
    expected = theirs(texts).numpy()
    found = ours(texts)
    assert found.dtype == np.int64
    differing = [text for text, row, other in zip(texts, found, expected, strict=True) if (row != other).any()]
    assert differing == []
    # The set is worth its name: cut and short ones, and nearly all of the bytes' symbols.
    cut = expected[:, -1] != 0
    assert 0.05 < cut.mean() < 0.5
    assert len(np.unique(expected)) > 600


@pytest.mark.parametrize("clean", ["whitespace", "canonicalize"])
@pytest.mark.parametrize("context_length", [16, 77])
def test_other_options(folder: Path, clean: str, context_length: int) -> None:
    theirs, ours = both(folder, clean=clean, context_length=context_length)
    texts = prompts(500)
    np.testing.assert_array_equal(ours(texts), theirs(texts).numpy())
    for text in texts:
        assert ours.fits(text) == (len(theirs.encode(text)) + 2 <= context_length)


@given(st.text(max_size=40), st.sampled_from(["lower", "whitespace", "canonicalize"]))
def test_texts_are_cleaned_like_open_clips(text: str, how: str) -> None:
    assert tokens.clean(text, how) == get_clean_fn(how)(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_texts_of_ascii_are_cleaned_like_open_clips(text: str) -> None:
    assert tokens.clean(text, "lower") == get_clean_fn("lower")(text)


def test_no_texts_no_rows(folder: Path) -> None:
    _, ours = both(folder)
    assert ours([]).shape == (0, 77)


def test_a_long_word_takes_no_long_time(folder: Path) -> None:
    theirs, ours = both(folder)
    text = "".join(random.Random(1).choices("abcdefgh", k=4000))
    np.testing.assert_array_equal(ours([text]), theirs([text]).numpy())


def test_a_word_of_ten_thousand_letters_is_cut_in_no_long_time(folder: Path) -> None:
    _, ours = both(folder)
    word = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=10_000))
    started = time.process_time()
    found = chunking.split_text(word, ours.fits)
    assert time.process_time() - started < 20  # it was minutes
    assert "".join(found) == word
    assert all(ours.fits(piece) for piece in found)
    assert not any(ours.fits(a + b[:1]) for a, b in itertools.pairwise(found))
