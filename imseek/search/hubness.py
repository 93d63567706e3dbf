"""Hubness correction: demote images that are near to every query.

In a space of many dimensions a few vectors, hubs, are among the nearest neighbours of far more queries than their
share (Radovanović, Nanopoulos and Ivanović, *Hubs in space*, 2010). The correction is cross-domain similarity local
scaling, CSLS (Conneau et al., *Word translation without parallel data*, 2018, section 2.3): subtract from each
image's score a share of its mean score with its nearest queries in a bank. The query-side term of CSLS is the same
for all images and does not affect the order, so it is left out.

Only the candidates' vectors are needed. On our data the gain was not distinguishable from chance, so the correction
is off by default: docs/decisions/0013-hubness.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.errors import UsageError
from imseek.search.candidate_set import CandidateSet
from imseek.search.query import Query
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery

#: Common words: the bank for text queries. For picture queries, a sample of stored images is used.
BANK_TEXTS: Final = (
    "person", "man", "woman", "child", "crowd", "face", "hand", "animal", "dog", "cat", "bird",
    "fish", "insect", "horse", "tree", "flower", "grass", "forest", "mountain", "sea", "river",
    "lake", "sky", "cloud", "snow", "fire", "house", "building", "street", "city", "bridge",
    "church", "room", "kitchen", "table", "chair", "bed", "lamp", "window", "door", "car", "truck",
    "bus", "train", "bicycle", "boat", "airplane", "food", "fruit", "bread", "meat", "bottle",
    "book", "newspaper", "computer", "telephone", "camera", "clock", "tool", "shoe", "hat", "shirt",
    "toy", "ball",
)  # fmt: skip
#: Number of nearest bank queries and weight of the correction, tuned on half A of the stamps.
BANK_NEIGHBOURS: Final = 20
WEIGHT: Final = 0.25


def move_back_hubs(candidates: CandidateSet, query: Query, context: PreparedQuery) -> CandidateSet:
    """Reorder the candidates by corrected scores; the bank is one of texts if the query has nothing but texts.

    A search by words alone compares no vectors, and stays as it is.
    """
    if not context.spaces:
        return candidates
    words = context.encoder.reference_texts(context.spaces[0], BANK_TEXTS) if context.is_text else None
    banks = context.samples() if words is None else [words]
    bias = np.zeros(len(candidates), np.float32)
    if len(candidates) and len(banks[0]):
        shares = context.query_vectors.shares
        for rows, bank, share in zip(context.rows(candidates.ids), banks, shares, strict=True):
            bias += np.float32(share) * hub_bias(rows, bank)
    corrected = correct_scores(candidates.scores, bias)
    if context.calibration is not None and len(candidates):
        # The mean correction is taken back, since evidence depends on the level of the scores. Only that of the picture
        # changes.
        corrected = corrected + np.float32(WEIGHT) * bias.mean()
        word_hits, calibration = context.words, context.calibration
        _, candidate_at, word_at = np.intersect1d(
            candidates.ids, word_hits.ids, assume_unique=True, return_indices=True
        )
        matches = np.zeros(len(candidates))
        matches[candidate_at] = calibration.match_evidence(word_hits)[word_at]
        corrected = calibration.relevance(corrected, matches).astype(np.float32)
    return candidates.sort_by(corrected)


def hub_bias(vectors: Float32, bank: Float32, k: int = BANK_NEIGHBOURS) -> Float32:
    """Return the mean (n,) float32 of each image's ``k`` highest cosines with the bank, in [-1, 1].

    ``vectors`` (n, dim) are unit rows of images, ``bank`` (b, dim) unit rows of queries of the same modality as the
    query. All b count if b < k. Raises UsageError for an empty bank or k < 1.
    """
    if not len(bank) or k < 1:
        raise UsageError("a correction for hubs needs a bank of queries, and at least one of them")
    scores = vectors @ bank.T
    best = scores if k >= len(bank) else np.partition(scores, len(bank) - k, axis=1)[:, len(bank) - k :]
    bias: Float32 = best.mean(axis=1, dtype=np.float64).astype(np.float32)
    return bias


def correct_scores(scores: Float32, bias: Float32, weight: float = WEIGHT) -> Float32:
    """Return corrected scores (n,) float32 for ordering; they are not cosines.

    ``scores`` (n,) are those of images, ``bias`` (n,) comes from :func:`hub_bias`. Fetch several times as many
    candidates as needed: the correction may lift an image from below the last one shown.
    """
    return scores - np.float32(weight) * bias
