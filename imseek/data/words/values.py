"""Values that lexical search takes and returns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

#: The text columns of a document.
FIELDS: Final = ("names", "captions", "keywords", "text")
#: Key in ``meta`` of the number of the last document in the index; 0 where the index must be made anew. A catalog
#: without it may have images without a document.
INDEXED: Final = "indexed_documents"
#: Key in ``meta`` of the number of the rules that made the documents; without it, it is 1: no last characters of runs.
RULES: Final = "document_rules"
LATEST_RULES: Final = 3
#: From these on, documents have written texts.
WRITTEN_RULES: Final = 3
#: Key in ``meta`` of the name, when it was last indexed, of the folder that a collection lies in and has as a source.
FOLDER: Final = "folder_name"


class Document(NamedTuple):
    """The words of an image: tokens joined by spaces, as :mod:`imseek.data.words.analysis` makes them.

    ``names`` are those of its file and folders, ``captions`` its captions and title, ``keywords`` its keywords and
    people, ``text`` what is written in the picture. ``written`` is that text as it stands there; readers look it up
    by :meth:`imseek.data.reader.Reader.written_texts` only.
    """

    names: str = ""
    captions: str = ""
    keywords: str = ""
    text: str = ""
    written: str = ""


class Prefix(NamedTuple):
    """Words that begin alike: tokens with this ``start``, and the ``stems`` that lack it though their words have it."""

    start: str
    stems: tuple[str, ...] = ()


#: What a query looks for: a word or a phrase (its tokens, in order), or words that begin alike.
Unit: TypeAlias = "tuple[str, ...] | Prefix"


class WordQuery(NamedTuple):
    """A lexical query: tokens and prefixes, any of which may match, and phrases (tokens in a row), which all must."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    prefixes: tuple[Prefix, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.phrases or self.prefixes)

    def has_tokens(self, count: int) -> bool:
        """Whether the query consists of at least ``count`` tokens, a prefix counted as one."""
        return len(self.words) + len(self.prefixes) + sum(map(len, self.phrases)) >= count


class TokenMatcher:
    """Tests whether single tokens are among those that a query looks for."""

    def __init__(self, query: WordQuery) -> None:
        stems = (stem for prefix in query.prefixes for stem in prefix.stems)
        self._tokens = frozenset((*query.words, *chain.from_iterable(query.phrases), *stems))
        self._starts = tuple(prefix.start for prefix in query.prefixes)
        #: The first characters of these tokens.
        self.initials = frozenset(token[:1] for token in (*self._tokens, *self._starts))

    def matches_any(self, tokens: Collection[str]) -> bool:
        """Whether any of the tokens is a word of the query, is in a phrase of it, or has a prefix of it."""
        if not self._tokens.isdisjoint(tokens):
            return True
        return bool(self._starts) and any(token.startswith(self._starts) for token in tokens)


@dataclass(frozen=True, slots=True)
class WordMatches:
    """Images that match a lexical query, best first.

    ``ids`` (m,) int64; ``scores`` (m,) float64 are BM25, higher is better; ``shares`` (m,) float64 say how much of the
    query an image holds, weighted by IDF: 1.0 is all of it. ``total`` counts the matches of the whole generation,
    ``documents`` its documents. ``is_exact`` is False where common words were not looked up everywhere: then ``total``
    is a lower bound, and the best may be missing. ``note`` says why the generation cannot be searched by words, if so.
    """

    ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    total: int
    documents: int
    is_exact: bool = True
    note: str | None = None
