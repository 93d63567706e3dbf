"""Values that lexical search takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

#: The text columns of a document.
FIELDS: Final = ("names", "captions", "keywords", "text")
#: Key in ``meta`` of the number of the last document in the index; 0 where the index must be made anew. A catalog
#: without it may have images without a document.
INDEXED: Final = "indexed_documents"


class Document(NamedTuple):
    """The words of an image: tokens joined by spaces, as :mod:`imseek.data.words.analysis` makes them.

    ``names`` are those of its file and folders, ``captions`` its captions and title, ``keywords`` its keywords and
    people, ``text`` what is written in the picture.
    """

    names: str = ""
    captions: str = ""
    keywords: str = ""
    text: str = ""


class WordQuery(NamedTuple):
    """A lexical query: tokens, any of which may match, and phrases (tokens in a row), all of which must match."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.phrases)


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
