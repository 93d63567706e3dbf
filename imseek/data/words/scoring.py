"""Score documents for a lexical query by BM25F: the sum over its words of IDF times a saturated term frequency.

Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), section 3.6. A long column
counts less per occurrence than a short one. The average lengths are constants, so that a score does not change when
other images come or go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.words.values import FIELDS, Document, WordQuery

_K1: Final = 1.2
_B: Final = 0.5
#: Tokens of a column of usual length.
_LENGTHS: Final = {"names": 6, "captions": 12, "keywords": 6, "text": 60}

#: A word or a phrase of a query: its tokens, in order.
Unit = tuple[str, ...]


def units_of(query: WordQuery) -> list[Unit]:
    """Return the words and phrases of a query, words first."""
    return [*((word,) for word in query.words), *query.phrases]


def idf(matching: int, documents: int) -> float:
    """Return the weight of a word that ``matching`` of ``documents`` hold: positive, the rarer the larger."""
    return math.log1p((max(documents, matching) - matching + 0.5) / (matching + 0.5))


def count_units(document: Document, units: Sequence[Unit], fields: Sequence[str] = FIELDS) -> list[float]:
    """Return for each unit how often the document holds it in these fields, normalised by their lengths."""
    counts = [0.0] * len(units)
    for field in fields:
        padded = f" {getattr(document, field)} "
        for n, unit in enumerate(units):
            # Neighbouring occurrences share a space, which costs a count of the second; saturation makes it negligible.
            if found := padded.count(f" {' '.join(unit)} "):
                length = padded.count(" ") - 1
                counts[n] += found / (1 - _B + _B * length / _LENGTHS[field])
    return counts


def score_counts(
    counts: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return scores and shares, each (documents,) float64, of counts (documents, units) and the units' IDF (units,)."""
    scores = (counts * (_K1 + 1) / (counts + _K1)) @ weights
    shares = (counts > 0) @ weights / max(float(weights.sum()), 1e-12)
    return scores, shares
