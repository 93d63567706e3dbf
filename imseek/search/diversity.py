"""Diversity by maximal marginal relevance.

Carbonell and Goldstein, *The use of MMR, diversity-based reranking for reordering documents and producing
summaries* (SIGIR 1998): the next one is that of the highest λ·relevance − (1 − λ)·similarity to the most similar one
taken before. Here λ is 1 − ``diversity``. Relevance is the score and similarity the cosine of two images, each divided
by its standard deviation among the candidates: cosines between words and pictures lie so close together that beside
those between pictures they would count for nothing with one encoder, and for much with another. On half A of the
stamps no other scale was better for answers equally alike (bench/diversity.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imseek.types import Float32

Positions = npt.NDArray[np.int64]

#: Below it, numbers differ by rounding alone.
_ROUNDING = 1e-5


def diverse(scores: Float32, vectors: Float32, diversity: float) -> Positions:
    """All positions (m,) int64 in the order of marginal relevance.

    ``scores`` is (m,), best first, ``vectors`` (m, dim) unit rows, ``diversity`` in [0, 1]. Among equals the one that
    comes first in ``scores`` goes first. Memory 8 · m² bytes, time m² · dim.
    """
    count = len(scores)
    order = np.arange(count, dtype=np.int64)
    if count < 2:
        return order
    # Rounded, so that equal rows are equally similar, wherever they lie (imseek/data/vectors/scores.py).
    cosines = np.round(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 6)
    similarity = cosines / _spread(cosines[np.triu_indices(count, 1)])
    relevance = scores.astype(np.float64) / _spread(scores.astype(np.float64))
    nearest = np.full(count, -np.inf)
    left = np.ones(count, np.bool_)
    chosen = int(np.argmax(relevance))
    for n in range(count):
        order[n] = chosen
        left[chosen] = False
        np.maximum(nearest, similarity[chosen], out=nearest)
        marginal = (1 - diversity) * relevance - diversity * nearest
        chosen = int(np.argmax(np.where(left, marginal, -np.inf)))
    return order


def _spread(values: npt.NDArray[np.float64]) -> float:
    """Their standard deviation; 1 where they are all the same."""
    deviation = float(values.std())
    return deviation if deviation > _ROUNDING else 1.0
