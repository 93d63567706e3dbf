"""Diversity by maximal marginal relevance.

Carbonell and Goldstein, *The use of MMR, diversity-based reranking for reordering documents and producing
summaries* (SIGIR 1998): the next one is that of the highest λ·relevance − (1 − λ)·similarity to the most similar one
taken before. Here λ is 1 − ``diversity``, similarity is the cosine of two images, and relevance the score, stretched
over the pool to [0, 1]: cosines between words and pictures lie so close together that unstretched they would
count for nothing beside those between pictures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imseek.types import Float32

Positions = npt.NDArray[np.int64]


def diverse(scores: Float32, vectors: Float32, diversity: float) -> Positions:
    """All positions (m,) int64 in the order of marginal relevance.

    ``scores`` is (m,), best first, ``vectors`` (m, dim) unit rows, ``diversity`` in [0, 1]. Among equals the one that
    comes first in ``scores`` goes first. Time m² · dim.
    """
    count = len(scores)
    order = np.empty(count, np.int64)
    if count == 0:
        return order
    wide = scores.astype(np.float64)
    span = float(wide.max() - wide.min())
    relevance = (wide - wide.min()) / span if span > 0 else np.ones(count)
    nearest = np.full(count, -np.inf)
    left = np.ones(count, np.bool_)
    chosen = int(np.argmax(wide))
    for n in range(count):
        order[n] = chosen
        left[chosen] = False
        # Not BLAS: equal rows must be equally similar, wherever they lie (imseek/data/vectors/scores.py).
        np.maximum(nearest, (vectors * vectors[chosen]).sum(axis=1), out=nearest)
        marginal = (1 - diversity) * relevance - diversity * nearest
        chosen = int(np.argmax(np.where(left, marginal, -np.inf)))
    return order
