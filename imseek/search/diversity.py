"""Diversity by maximal marginal relevance (MMR).

Carbonell and Goldstein, *The use of MMR, diversity-based reranking for reordering documents and producing summaries*
(SIGIR 1998): pick next the candidate with the highest λ·relevance − (1 − λ)·similarity to the most similar candidate
already picked. Here λ is 1 − ``diversity``, relevance the score and similarity the cosine of two images. Both are
divided by their standard deviation among the candidates: text–image cosines have a much smaller spread than
image–image cosines, so without scaling they would hardly count with one encoder and dominate with another. No other
scaling did better at equal similarity on half A of the stamps (bench/diversity.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.search.candidate_set import CandidateSet, StageContext
from imseek.search.query import Query
from imseek.types.arrays import Float32

Positions = npt.NDArray[np.int64]

#: Number of best candidates that are reordered.
MAX_DIVERSIFIED: Final = 200
#: Smaller differences are rounding errors.
_ROUNDING = 1e-5


def diversify(candidates: CandidateSet, query: Query, context: StageContext) -> CandidateSet:
    """Order the best 200 by marginal relevance, then append the rest."""
    best = candidates.take(range(min(MAX_DIVERSIFIED, len(candidates))))
    order = rank_by_mmr(best.relevance, context.vectors(best), query.diversity)
    return candidates.take([*order.tolist(), *range(len(best), len(candidates))])


def rank_by_mmr(scores: Float32, vectors: Float32, diversity: float) -> Positions:
    """Return all positions (m,) int64 in the order of marginal relevance.

    ``scores`` is (m,), best first; ``vectors`` (m, dim) unit rows; ``diversity`` in [0, 1]. Ties keep the order of
    ``scores``. Takes 8 · m² bytes of memory and m² · dim time.
    """
    count = len(scores)
    order = np.arange(count, dtype=np.int64)
    if count < 2:
        return order
    # Rounded, so that equal rows get equal similarities wherever they lie (imseek/data/vectors/scores.py).
    cosines = np.round(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 6)
    similarity = cosines / _deviation(cosines[np.triu_indices(count, 1)])
    relevance = scores.astype(np.float64) / _deviation(scores.astype(np.float64))
    closeness = np.full(count, -np.inf)
    is_left = np.ones(count, np.bool_)
    pick = int(np.argmax(relevance))
    for n in range(count):
        order[n] = pick
        is_left[pick] = False
        np.maximum(closeness, similarity[pick], out=closeness)
        marginal = (1 - diversity) * relevance - diversity * closeness
        pick = int(np.argmax(np.where(is_left, marginal, -np.inf)))
    return order


def _deviation(values: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation, or 1 if all values are equal."""
    deviation = float(values.std())
    return deviation if deviation > _ROUNDING else 1.0
