"""Fuses the ranking of pictures with the matches of words, as a sum of evidence in nats.

*A picture* with cosine s counts the log-odds that a random image scores less: s is standardised by the mean and the
standard deviation of the query's cosines over a sample of the collection, which are taken as normally distributed.
*Words* that match count BM25 times the share of the query that the image holds; those that describe the picture, in
captions, keywords, and text that holds several of them, count ``1 + DESCRIPTIONS`` times as much. BM25 is a sum of
log-odds, too (Robertson and Zaragoza 2009, section 3), so that both have the same unit and add up, as evidence of two
independent witnesses does. A weight says how far words are trusted beside the encoder;
docs/decisions/0041-rank-fusion.md has the alternatives and figures.

*Exact.* The evidence of a picture grows with its cosine, and words never count negatively. So images without a word
match keep the order of their cosines, and one of them that is not among the best k by cosine has k better ones before
it: the best k of the fused ranking are among the best k pictures and the images that words match, whose cosines are
computed exactly. Two sorted lists are merged, and the first k of a longer merge are always those of a shorter one, so
that pages fit together (:mod:`imseek.search.retrieve`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.data.words.scoring import idf
from imseek.data.words.values import WordMatches
from imseek.search.candidate_set import CandidateSet
from imseek.search.cutoff import ROUNDING
from imseek.types.arrays import Float32

Float64 = npt.NDArray[np.float64]

#: Most images whose words are taken into account, the best by BM25.
MAX_WORD_MATCHES: Final = 500
#: Weight of words beside pictures, by the quality of the encoder, tuned on half A of the stamps (bench/hybrid.py). What
#: a basic encoder sees orders images that match words equally well.
WORD_WEIGHTS: Final = {"basic": 50.0}
WORD_WEIGHT: Final = 1.0
#: How often a match in captions, keywords and text counts besides what it counts with names: these describe a picture,
#: while a name may be anything, and so may one word within a text. Tuned in the same way.
DESCRIPTIONS: Final = 4.0
#: From here on, the tail of the normal distribution is its asymptotic series.
_FAR: Final = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class WordHits:
    """Images whose words match a query, best first by BM25: at most ``MAX_WORD_MATCHES`` beside pictures.

    ``ids`` (m,) int64; ``scores`` (m,) float64: BM25; ``shares`` (m,) float64: the share of the query, by IDF, that
    each holds; ``evidence`` (m,) float64: of the words, in nats before weighting; ``cosines`` (m,) float32: of each
    with the query, empty if no vectors are compared. ``total`` is the number of images that can be found, ``frequency``
    that of images that match whatever a condition allows, of ``documents`` in the collection. ``is_exact`` is False if
    better matches may be missing. ``note`` says why words cannot be searched, if they cannot.
    """

    ids: Ids
    scores: Float64
    shares: Float64
    evidence: Float64
    cosines: Float32
    total: int
    frequency: int
    documents: int
    is_exact: bool = True
    note: str | None = None

    @classmethod
    def of(cls, matches: WordMatches, *descriptions: WordMatches) -> WordHits:
        """Return matches without cosines; ``descriptions`` are those in fields that describe pictures."""
        evidence = matches.scores * matches.shares
        for described in descriptions:
            _, here, there = np.intersect1d(matches.ids, described.ids, assume_unique=True, return_indices=True)
            evidence[here] += DESCRIPTIONS * (described.scores * described.shares)[there]
        empty = np.empty(0, np.float32)
        return cls(
            matches.ids,
            matches.scores,
            matches.shares,
            evidence,
            empty,
            matches.total,
            matches.total,
            matches.documents,
            matches.is_exact,
            matches.note,
        )

    def take(self, positions: npt.ArrayLike) -> WordHits:
        """Return the matches at ``positions``, in that order."""
        at = np.asarray(positions, np.int64)
        cosines = self.cosines[at] if len(self.cosines) else self.cosines
        return replace(
            self,
            ids=self.ids[at],
            scores=self.scores[at],
            shares=self.shares[at],
            evidence=self.evidence[at],
            cosines=cosines,
        )

    def first(self, count: int) -> WordHits:
        """Return the best ``count`` matches."""
        return self.take(range(min(count, len(self.ids))))

    @classmethod
    def empty(cls) -> WordHits:
        nothing = np.empty(0)
        return cls(np.empty(0, np.int64), nothing, nothing, nothing, np.empty(0, np.float32), 0, 0, 0)


def share_frequencies(hits: Sequence[WordHits]) -> list[WordHits]:
    """Return the matches in several collections, scored as if these were one.

    BM25 counts how rare words are in a collection. For one word this is exact; for several, it goes by how many images
    match any of them.
    """
    whole = idf(sum(one.frequency for one in hits), sum(one.documents for one in hits))
    ratios = [whole / idf(one.frequency, one.documents) for one in hits]
    return [
        replace(one, scores=one.scores * ratio, evidence=one.evidence * ratio)
        for one, ratio in zip(hits, ratios, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the evidence of a query is counted: the mean and standard deviation of its cosines, and the words' weight."""

    mean: float
    deviation: float
    weight: float

    def picture_evidence(self, cosines: Float32) -> Float64:
        """Return the evidence (m,) float64 of pictures with these cosines (m,), in nats; it grows with the cosine.

        It is 0 at the mean, and about the logarithm of how rare such a cosine is far above it.
        """
        return log_odds((cosines.astype(np.float64) - self.mean) / self.deviation)

    def relevance(self, cosines: Float32, words: Float64) -> Float64:
        """Return the relevance (m,) of images by their cosines (m,) and the evidence of their words (m,)."""
        return self.picture_evidence(cosines) + self.weight * words


def calibrate(scores: Float32, quality: str, text_share: float = 1.0) -> Calibration:
    """Return the calibration of a query by its cosines (s,) with a sample of the images; s may be 0.

    ``quality`` is that of the encoder; ``text_share`` in (0, 1] is the share of words among the query's terms.
    """
    weight = text_share * WORD_WEIGHTS.get(quality, WORD_WEIGHT)
    if not len(scores):
        return Calibration(0.0, 1.0, weight)
    wide = scores.astype(np.float64)
    return Calibration(float(wide.mean()), float(wide.std()) + ROUNDING, weight)


def log_odds(z: Float64) -> Float64:
    """Return log(Φ(z) / (1 − Φ(z))) of each ``z`` (m,), where Φ is the standard normal distribution, in nats."""
    return np.array([_surprisal(one) - _surprisal(-one) for one in z.tolist()], np.float64)


def _surprisal(z: float) -> float:
    """Return −log of the upper tail of the standard normal distribution beyond ``z``."""
    if z < _FAR:
        return -math.log(math.erfc(z / math.sqrt(2)) / 2)
    # Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.12.
    return z * z / 2 + math.log(z * math.sqrt(2 * math.pi)) - math.log1p(-1 / z**2 + 3 / z**4)


def fuse_rankings(pictures: Matches, words: WordHits, calibration: Calibration, count: int) -> CandidateSet:
    """Return the first ``count`` images of the fused ranking, with their relevance in nats.

    ``pictures`` are the first ``count`` of the ranking by cosine; ``words`` are the matches with their cosines, in any
    order. Where an approximate ranking rises between its rungs, an image counts as much as those before it, so that a
    longer ranking only appends.
    """
    alone = ~np.isin(pictures.ids, words.ids)
    falling = np.minimum.accumulate(calibration.picture_evidence(pictures.scores))
    matched = calibration.relevance(words.cosines, words.evidence)
    order = np.lexsort((words.ids, -matched))
    best = words.take(order)
    relevance = np.concatenate([matched[order], falling[alone]])
    zeros = np.zeros(int(alone.sum()))
    both = CandidateSet.of(
        Matches(
            np.concatenate([best.ids, pictures.ids[alone]]), np.concatenate([best.cosines, pictures.scores[alone]])
        ),
        relevance=relevance.astype(np.float32),
        words=np.concatenate([best.evidence, zeros]),
        shares=np.concatenate([best.shares, zeros]),
    )
    return both.take(np.argsort(-relevance, kind="stable")[:count])


def rank_by_words(words: WordHits, count: int) -> CandidateSet:
    """Return the first ``count`` images that words match, by BM25; the score of each is its share of the query."""
    best = words.first(count)
    return CandidateSet.of(
        Matches(best.ids, best.shares.astype(np.float32)),
        relevance=best.scores.astype(np.float32),
        words=best.evidence,
        shares=best.shares,
    )
