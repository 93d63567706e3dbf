"""Score documents for a lexical query by BM25F: the sum over its words of IDF times a saturated term frequency.

Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), section 3.6. A long column
counts less per occurrence than a short one. The average lengths are constants, so that a score does not change when
other images come or go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.words.values import Prefix, Unit, WordQuery

_K1: Final = 1.2
_B: Final = 0.5
#: Tokens of a column of usual length.
_LENGTHS: Final = {"names": 6, "captions": 12, "keywords": 6, "text": 60}
#: How much an occurrence counts. A word written in a picture says less about it than one that somebody gave it: it
#: must rank below a name, though a short text is far below the usual length.
_WEIGHTS: Final = {"names": 1.0, "captions": 1.0, "keywords": 1.0, "text": 0.3}


def units_of(query: WordQuery) -> list[Unit]:
    """Return the words, prefixes and phrases of a query, in this order."""
    return [*((word,) for word in query.words), *query.prefixes, *query.phrases]


def idf(matching: int, documents: int) -> float:
    """Return the weight of a word that ``matching`` of ``documents`` hold: positive, the rarer the larger."""
    return math.log1p((max(documents, matching) - matching + 0.5) / (matching + 0.5))


def count_units(columns: Mapping[str, Sequence[str]], units: Sequence[Unit], documents: int) -> npt.NDArray[np.float64]:
    """Return how often documents hold units, normalised by the lengths of their columns: (documents, units) float64.

    ``columns`` are the texts of all documents, by field. All of a column are searched as one text: for a thousand
    documents, that is ten times as fast as one after the other.
    """
    counts = np.zeros((documents, len(units)))
    for field, texts in columns.items():
        if not any(texts):
            continue
        joined_text = " \n ".join(texts)
        if joined_text.count("\n") != documents - 1:  # Not of our making; it would be taken for the end of a document.
            joined_text = " \n ".join(text.replace("\n", " ") for text in texts)
        # Two spaces between tokens: then neighbours do not share one.
        data = f" {joined_text} ".replace(" ", "  ").encode(errors="replace")
        characters = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(characters == ord("\n"))
        spaces = np.add.reduceat(characters == ord(" "), np.concatenate([[0], ends]), dtype=np.int64)
        norms = 1 - _B + _B * (spaces // 2 - 1) / _LENGTHS[field]
        for n, unit in enumerate(units):
            if isinstance(unit, Prefix):
                patterns = [f" {unit.start}", *(f" {stem} " for stem in unit.stems)]
            else:
                patterns = [f" {'  '.join(unit)} "]
            for pattern in (one.encode(errors="replace") for one in patterns):
                pieces = data.split(pattern)
                if len(pieces) > 1:
                    places = np.cumsum(np.fromiter(map(len, pieces[:-1]), np.int64) + len(pattern))
                    occurrences = np.bincount(np.searchsorted(ends, places), minlength=documents)
                    counts[:, n] += _WEIGHTS[field] * occurrences / norms
    return counts


def score_counts(
    counts: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return scores and shares, each (documents,) float64, of counts (documents, units) and the units' IDF (units,)."""
    scores = (counts * (_K1 + 1) / (counts + _K1)) @ weights
    shares = (counts > 0) @ weights / max(float(weights.sum()), 1e-12)
    return scores, shares
