"""Turn text into the tokens of the lexical index, in the same way for documents and for queries.

Text is normalised (Unicode NFKD), case and accents are folded, and English words are stemmed (Snowball). Runs of
Chinese, Japanese and Korean characters, which no spaces separate, become overlapping bigrams, as in Lucene's
CJKAnalyzer; a single one is a token itself. A pictograph is a token. Everything else separates tokens.

A query finds a single character of such a run as the start of a bigram, or as the last of the run, which documents
have as a token, too, after all others (:func:`add_last_characters`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from types import ModuleType
from typing import TYPE_CHECKING, Final

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, is_url
from imseek.data.words.values import Prefix, WordQuery

if TYPE_CHECKING:
    from snowballstemmer.english_stemmer import EnglishStemmer

#: Tokens of one column of a document. PostgreSQL's ``tsvector`` has room for 16,383 positions in all four.
MAX_TOKENS: Final = 4_000
#: Bytes of one column of a document, with spaces. A ``tsvector`` has at most 1 MB.
MAX_BYTES: Final = 128 * 1024
#: Characters of a token; longer ones are cut.
MAX_LENGTH: Final = 64
#: Words and phrases of a query; further ones are ignored.
MAX_QUERY: Final = 64
#: Prefixes of a query.
MAX_PREFIXES: Final = 8

#: Characters of text that are read: enough for the tokens of a column, whatever stands between them.
_MAX_TEXT: Final = 1 << 20

# Letters that Unicode does not decompose, though people search for them by their base.
_LETTERS: Final = {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
# Bopomofo, kana, Han, Hangul.
_CJK = re.compile(
    "([\u1100-\u11ff\u3005-\u3007\u3040-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_ENGLISH = re.compile("[a-z]+")
_lock = threading.Lock()
_PHRASE = re.compile('"([^"]*)"')
# The start of words: something that ends with a star, and has no other.
_PREFIX = re.compile(r"(?<!\S)([^\s*]+)\*(?!\S)")
#: Letters and digits of a prefix: one would have far too many words.
_MIN_PREFIX: Final = 2
# After the start of a word, these make Snowball return a stem that may not have this start. With them, 30,000 English
# words out of documentation were found by each of their starts.
_ENDINGS: Final = (
    "", "bly", "d", "ent", "es", "ess", "g", "ing", "ion", "ity", "ive", "ize", "l", "lity", "ly", "m", "n", "ng", "nt",
    "on", "r", "s", "ss", "t", "tion", "tive", "ty", "ul", "us", "ve", "y", "ze",
)  # fmt: skip
# Boundaries between the words of a name in camel case, or with digits.
_PARTS = re.compile(
    r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])"
)


class _Characters(dict[int, str]):
    """The folded form of each character: a table for :meth:`str.translate` that fills itself."""

    def __init__(self, fold_one: Callable[[str], str]) -> None:
        super().__init__()
        self._fold_one = fold_one

    def __missing__(self, code: int) -> str:
        self[code] = folded = self._fold_one(chr(code))
        return folded


def _fold_letter(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    category = unicodedata.category(character)
    if category[0] == "M":
        # Accents and vowel points are folded; marks that make another letter (Devanagari's, kana's) are not.
        combining = unicodedata.combining(character)
        return "" if 10 <= combining <= 36 or combining >= 200 or "\ufe00" <= character <= "\ufe0f" else character
    # Invisible inside words: joiners, marks of direction, soft hyphens.
    return "" if category == "Cf" else character


def _fold_character(character: str) -> str:
    """Fold a character for lexical search, where only words and pictographs count."""
    category = unicodedata.category(character)
    if category[0] in "LNM" or category == "Cf":
        return _fold_letter(character)
    if category == "So" and character > "\xff" and character != "\ufffd":
        return f" {character} "
    return " "


_FOLDS = _Characters(_fold_letter)
_CHARACTERS = _Characters(_fold_character)


def fold(text: str) -> str:
    """Fold case and accents. What is not ASCII is decomposed (NFKD), so that the start of a text stays its start."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKD", text).casefold().translate(_FOLDS)


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text, in order: at most ``MAX_TOKENS``, and ``MAX_BYTES`` in UTF-8 with spaces."""
    return limit_tokens(_tokens(text))


def document_tokens(text: str) -> list[str]:
    """Return the tokens of a text in a document: as of :func:`tokens_of`, with the last characters of runs."""
    return limit_tokens(add_last_characters(_tokens(text)))


def add_last_characters(tokens: Sequence[str]) -> list[str]:
    """Return tokens, followed once each by the last characters of bigrams that begin no token.

    Doing so again adds nothing.
    """
    bigrams = [token for token in tokens if len(token) == 2 and _CJK.fullmatch(token)]
    if not bigrams:
        return list(tokens)
    firsts = {token[0] for token in tokens}
    return [*tokens, *dict.fromkeys(token[1] for token in bigrams if token[1] not in firsts)]


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
    tokens = [token for part in path.split(MEMBER_SEPARATOR) for token in _part_tokens(part)]
    return limit_tokens(add_last_characters(tokens))


def parse_words(text: str) -> WordQuery:
    """Return the words, phrases and prefixes of a query as people type it.

    Double quotes make phrases, and a star after two letters or digits a prefix; nothing else is syntax. A single
    Chinese, Japanese or Korean character is a prefix of the bigrams that it begins, too.
    """
    phrases = [tuple(tokens_of(phrase)) for phrase in _PHRASE.findall(text)]
    unquoted = _PHRASE.sub(" ", text)
    words: list[str] = []
    prefixes: list[Prefix] = []
    for piece, start in _pieces(unquoted):
        words += tokens_of(piece)
        if start:
            prefixes.append(_prefix(start))
    words += (phrase[0] for phrase in phrases if len(phrase) == 1)
    prefixes += (Prefix(word) for word in words if len(word) == 1 and _CJK.match(word))
    plain = dict.fromkeys(word for word in words if not (len(word) == 1 and _CJK.match(word)))
    longer = dict.fromkeys(phrase for phrase in phrases if len(phrase) > 1)
    return WordQuery(tuple(plain)[:MAX_QUERY], tuple(longer)[:MAX_QUERY], tuple(dict.fromkeys(prefixes))[:MAX_PREFIXES])


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield parts of a query, each with the folded start of words that follows it; empty: none."""
    end = 0
    for match in _PREFIX.finditer(text):
        folded = _words(match[1])
        start = _CJK.split(folded[-1])[-1] if folded else ""  # Bigrams begin what goes on after them anyway.
        if len(start) >= _MIN_PREFIX:
            yield text[end : match.start()] + " " + " ".join(folded)[: -len(start)], start[:MAX_LENGTH]
            end = match.end()
    yield text[end:], ""


@lru_cache(maxsize=1 << 10)
def _prefix(start: str) -> Prefix:
    stems = dict.fromkeys(stem(start + ending) for ending in _ENDINGS) if _ENGLISH.fullmatch(start) else ()
    return Prefix(start, tuple(form for form in stems if not form.startswith(start)))


def _part_tokens(part: bytes) -> list[str]:
    if part.isdigit():  # A row of a table.
        return []
    if is_url(part):
        part = part.partition(b"?")[0].partition(b"#")[0].partition(b"://")[2].partition(b"/")[2]
    components = os.path.splitext(part)[0].decode(errors="replace").split("/")
    return [token for component in components for token in _component_tokens(component)]


@lru_cache(maxsize=1 << 12)  # Most images share their folders with others.
def _component_tokens(component: str) -> tuple[str, ...]:
    # Composed, so that a letter with its accent is one character.
    composed = component if component.isascii() else unicodedata.normalize("NFC", component)
    divided = _PARTS.sub(" ", composed)
    parts = _tokens(divided)
    if divided != composed:
        parts += [token for token in _tokens(composed) if token not in parts]
    return tuple(parts)


def _tokens(text: str) -> list[str]:
    return [stem(token) for token in unstemmed_tokens(text)]


def unstemmed_tokens(text: str) -> list[str]:
    """Return the tokens of a text, in order, before :func:`stem`, which leaves their first characters as they are."""
    text = text[:_MAX_TEXT]
    if text.isascii():
        return [word[:MAX_LENGTH] for word in text.lower().translate(_CHARACTERS).split()]
    tokens: list[str] = []
    for word in _words(text):
        for run in (word,) if word.isascii() else _CJK.split(word):
            if _CJK.match(run):
                tokens += (run[i : i + 2] for i in range(max(1, len(run) - 1)))
            elif run:
                tokens.append(run[:MAX_LENGTH])
    return tokens


def _words(text: str) -> list[str]:
    """Return the words of a text without case and accents; runs that no spaces separate are one."""
    normal = unicodedata.normalize("NFKD", text).casefold().translate(_CHARACTERS)
    # Decomposition has split Hangul syllables, too.
    return unicodedata.normalize("NFC", normal).split()


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return the stem of an English word; other tokens stay as they are. Thread-safe."""
    if not _ENGLISH.fullmatch(word):
        return word
    with _lock:  # A stemmer holds the word that it works on.
        return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> EnglishStemmer:
    # The package imports the stemmers of all languages, which takes longer than a search for words. Its modules import
    # each other relatively: under a name of their own, they leave the package as it is for others.
    name = f"{__name__}.snowballstemmer"
    spec = importlib.util.find_spec("snowballstemmer")
    assert spec is not None, "imseek depends on it"
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[name] = package
    module = importlib.import_module(f"{name}.english_stemmer")  # noqa: TID251 - under a name of its own
    return module.EnglishStemmer()


def limit_tokens(tokens: Sequence[str]) -> list[str]:
    """Return the first tokens that a column of a document has room for."""
    first_tokens = list(tokens[:MAX_TOKENS])
    if len(" ".join(first_tokens).encode()) > MAX_BYTES:
        ends = accumulate(len(token.encode()) + 1 for token in first_tokens)
        first_tokens = first_tokens[: sum(end <= MAX_BYTES for end in ends)]
    return first_tokens
