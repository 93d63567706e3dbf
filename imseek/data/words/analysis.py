"""Turn text into the tokens of the lexical index, in the same way for documents and for queries.

Text is normalised (Unicode NFKD), case and accents are folded, and English words are stemmed (Snowball). Runs of
Chinese, Japanese and Korean characters, which no spaces separate, become overlapping bigrams, as in Lucene's
CJKAnalyzer; a single one is a token itself. A pictograph is a token. Everything else separates tokens.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any, Final

from imseek.data.catalog.places import MEMBER_SEPARATOR, is_url
from imseek.data.words.values import WordQuery

#: Tokens of one column of a document. PostgreSQL's ``tsvector`` has room for 16,383 positions in all four.
MAX_TOKENS: Final = 4_000
#: Bytes of one column of a document, with spaces. A ``tsvector`` has at most 1 MB.
MAX_BYTES: Final = 128 * 1024
#: Characters of a token; longer ones are cut.
MAX_LENGTH: Final = 64
#: Words and phrases of a query; further ones are ignored.
MAX_QUERY: Final = 64

#: Characters of text looked at: enough for the tokens of a column, whatever stands between them.
_MAX_TEXT: Final = 1 << 20

# Letters that Unicode does not decompose, though people search for them by their base.
_LETTERS: Final = {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
# Bopomofo, kana, Han, Hangul.
_CJK = re.compile(
    "([\u1100-\u11ff\u3005-\u3007\u3040-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_ENGLISH = re.compile("[a-z]+")
_PHRASE = re.compile('"([^"]*)"')
# Where a name in camel case, or with digits, has another word.
_PARTS = re.compile(
    r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])"
)


class _Characters(dict[int, str]):
    """What becomes of each character, as a table for :meth:`str.translate` that fills itself."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _fold_character(chr(code))
        return found


_CHARACTERS = _Characters()


def _fold_character(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    category = unicodedata.category(character)
    if category[0] in "LN":
        return character
    if category[0] == "M":
        # Accents and vowel points are folded; marks that make another letter (Devanagari's, kana's) are not.
        mark = unicodedata.combining(character)
        return "" if 10 <= mark <= 36 or mark >= 200 or "\ufe00" <= character <= "\ufe0f" else character
    if category == "Cf":  # Invisible inside words: joiners, marks of direction, soft hyphens.
        return ""
    if category == "So" and character > "\xff" and character != "\ufffd":
        return f" {character} "
    return " "


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text, in order: at most ``MAX_TOKENS``, and ``MAX_BYTES`` in UTF-8 with spaces."""
    return limit_tokens(_tokens(text))


def full_name(root: bytes, path: bytes) -> bytes:
    """Return a catalog path below the name of its source's folder, or of its file where the path is empty."""
    if path.startswith(b"/") or is_url(path):
        return path
    base = os.path.basename(root.partition(b"?")[0].rstrip(b"/"))
    return base + path if not path or path.startswith(MEMBER_SEPARATOR) else base + b"/" + path


def name_tokens(path: bytes) -> list[str]:
    """Return the tokens of a catalog path: of its folders and of the file's name without its extension.

    Names are split at separators, digits and changes of case; a name that this splits is a token as a whole, too. The
    parts of a member's path (docs/format.md, Places) count, a row's number and the host and query of a URL do not.
    """
    return limit_tokens([token for part in path.split(MEMBER_SEPARATOR) for token in _part_tokens(part)])


def parse_words(text: str) -> WordQuery:
    """Return the words and phrases of a query as people type it. Double quotes make phrases; nothing else is syntax."""
    phrases = [tuple(tokens_of(phrase)) for phrase in _PHRASE.findall(text)]
    words = [*tokens_of(_PHRASE.sub(" ", text)), *(phrase[0] for phrase in phrases if len(phrase) == 1)]
    longer = dict.fromkeys(phrase for phrase in phrases if len(phrase) > 1)
    return WordQuery(tuple(dict.fromkeys(words))[:MAX_QUERY], tuple(longer)[:MAX_QUERY])


def _part_tokens(part: bytes) -> list[str]:
    if part.isdigit():  # A row of a table.
        return []
    if is_url(part):
        part = part.partition(b"?")[0].partition(b"#")[0].partition(b"://")[2].partition(b"/")[2]
    found: list[str] = []
    for component in os.path.splitext(part)[0].decode(errors="replace").split("/"):
        # Composed, so that a letter with its accent is one character.
        composed = component if component.isascii() else unicodedata.normalize("NFC", component)
        divided = _PARTS.sub(" ", composed)
        parts = _tokens(divided)
        found += parts
        if divided != composed:
            found += [token for token in _tokens(composed) if token not in parts]
    return found


def _tokens(text: str) -> list[str]:
    text = text[:_MAX_TEXT]
    if text.isascii():
        return [_stem(word[:MAX_LENGTH]) for word in text.lower().translate(_CHARACTERS).split()]
    normal = unicodedata.normalize("NFKD", text).casefold().translate(_CHARACTERS)
    found: list[str] = []
    # Decomposition has split Hangul syllables, too.
    for word in unicodedata.normalize("NFC", normal).split():
        for run in (word,) if word.isascii() else _CJK.split(word):
            if _CJK.match(run):
                found += (run[i : i + 2] for i in range(max(1, len(run) - 1)))
            elif run:
                found.append(_stem(run[:MAX_LENGTH]))
    return found


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word)) if _ENGLISH.fullmatch(word) else word


@cache
def _stemmer() -> Any:
    # The package imports the stemmers of all languages, which takes longer than a search for words.
    package = "snowballstemmer"
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is not None:
        sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        from snowballstemmer.english_stemmer import EnglishStemmer
    finally:
        if spec is not None:  # Whoever imports the package gets all of it.
            del sys.modules[package]
    return EnglishStemmer()


def limit_tokens(tokens: Sequence[str]) -> list[str]:
    """Return the first tokens that a column of a document has room for."""
    found = list(tokens[:MAX_TOKENS])
    if len(" ".join(found).encode()) > MAX_BYTES:
        ends = accumulate(len(token.encode()) + 1 for token in found)
        found = found[: sum(end <= MAX_BYTES for end in ends)]
    return found
