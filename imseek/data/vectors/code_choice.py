"""Choose how many codes an automatic index gives each row: half as many are read in half the time.

How much fewer codes lose depends on the vectors: nothing worth mentioning where most of their spread is along a few
axes. So a sample is encoded with fewer codes, and is ranked by them for pictures and for text-like queries.
"""

from __future__ import annotations

from typing import Final

import faiss
import numpy as np

from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.code_rotation import balanced_rotation
from imseek.data.vectors.index_kinds import codes_of, with_half_the_codes
from imseek.data.vectors.index_metadata import RECALL_K
from imseek.data.vectors.scores import unit_rows
from imseek.data.vectors.tuning import text_like_queries
from imseek.types.arrays import Float32

#: Rows of the sample, those of them that codes are trained on, and in how many iterations, and queries of each kind.
_ROWS: Final = 1 << 16
_TRAINED: Final = 1 << 13
_ITERATIONS: Final = 10
_QUERIES: Final = 250
#: Rows that text-like queries are made from; fewer rows say nothing.
_TEXT_ROWS: Final = 1000
#: Fewer codes are enough if this share of the sample, ranked first by them, has this share of each kind's neighbours.
#: Of a million vectors like CLIP's, 1,280 candidates by half the codes then take less time than 160 by all.
_CANDIDATES: Final = 0.003
_FOUND: Final = 0.99


def choose_codes(rows: LiveRows, dim: int, factory: str) -> str:
    """Return ``factory``, the automatic choice for ``rows``, with half as many codes if those are enough."""
    fewer = with_half_the_codes(factory, dim)
    if fewer is None or len(rows) < _TEXT_ROWS:
        return factory
    rng = np.random.default_rng(len(rows))
    _, sample = rows.take(rng.choice(len(rows), min(_ROWS, len(rows)), replace=False))
    sample = unit_rows(sample[rng.permutation(len(sample))])
    queries = (sample[:_QUERIES], text_like_queries(sample[:_TEXT_ROWS])[:_QUERIES])
    return fewer if min(_shares_found(sample, queries, codes_of(fewer), dim)) >= _FOUND else factory


def _shares_found(sample: Float32, queries: tuple[Float32, ...], codes: int, dim: int) -> list[float]:
    """Return which share of the nearest ``RECALL_K`` rows of the ``sample`` ranks first by its codes, for each of
    ``queries`` (n, dim)."""
    width = -(-dim // codes) * codes
    rotation = balanced_rotation(sample, width, codes)
    quantizer = faiss.ProductQuantizer(width, codes, 4)
    quantizer.cp.niter = _ITERATIONS
    quantizer.train(sample[:_TRAINED] @ rotation.T)
    decoded = quantizer.decode(quantizer.compute_codes(sample @ rotation.T))
    best = len(sample) - max(RECALL_K, round(_CANDIDATES * len(sample)))
    shares = []
    for batch in queries:
        nearest = np.argpartition(batch @ sample.T, -RECALL_K, axis=1)[:, -RECALL_K:]
        by_codes = (batch @ rotation.T) @ decoded.T
        least = np.partition(by_codes, best, axis=1)[:, best : best + 1]
        shares.append(float((np.take_along_axis(by_codes, nearest, 1) >= least).mean()))
    return shares
