"""Fuses the ranking of pictures with the matches of words, as a sum of evidence in nats.

*A picture* with cosine s counts the log-odds that a random image scores less: s is standardised by the mean and the
standard deviation of the query's cosines over a sample of the collection, which are taken as normally distributed.
*Words* that match count BM25 times the share of the query that the image holds; those that describe the picture, in
captions, keywords, and text that holds several of them, count ``1 + DESCRIPTIONS`` times as much. BM25 is a sum of
log-odds, too (Robertson and Zaragoza 2009, section 3), so that both have the same unit and add up, as evidence of two
independent witnesses does. A weight says how far words are trusted beside the encoder;
docs/decisions/0041-rank-fusion.md has the alternatives and figures.
*Captions* whose vectors are like the query's count by their log-odds, over a sample of captions, less the logarithm of
the number of captions. So those that have nothing to do with the query count nothing, however few images have one.

*Exact.* The evidence of a picture grows with its cosine, and words and captions never count negatively. So images
without a match of these keep the order of their cosines, and one of them that is not among the best k by cosine has k
better ones before it: the best k of the fused ranking are among the best k pictures and the images that words or
captions match, whose cosines are computed exactly. Two sorted lists are merged, and the first k of a longer merge are
always those of a shorter one, so that pages fit together (:mod:`imseek.search.retrieve`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
#: Weight of captions beside pictures, by the quality of the encoder, tuned in the same way.
CAPTION_WEIGHTS: Final = {"basic": 1.0}
CAPTION_WEIGHT: Final = 0.5
#: How often a match in captions, keywords and text counts besides what it counts with names: these describe a picture,
#: while a name may be anything, and so may one word within a text. Tuned in the same way.
DESCRIPTIONS: Final = 4.0
#: From here on, the tail of the normal distribution is its asymptotic series.
_FAR: Final = 25.0


def _no_cosines() -> Float32:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class CaptionHits:
    """Images whose captions are most like a query: at most ``MAX_WORD_MATCHES``.

    ``ids`` (m,) int64; ``cosines`` (m,) float32: of each caption with the query; ``sample`` (s,) float32: those of a
    sample of the collection's captions, of which there are ``total``. ``is_exact`` is False if better ones may be
    missing. ``note`` says why captions cannot be compared, or not with their index, if so.
    """

    ids: Ids
    cosines: Float32
    sample: Float32
    total: int
    is_exact: bool = True
    note: str | None = None

    @classmethod
    def none(cls, note: str) -> CaptionHits:
        """Return no captions, and why."""
        return cls(np.empty(0, np.int64), _no_cosines(), _no_cosines(), 0, note=note)


@dataclass(frozen=True, slots=True, eq=False)
class WordHits:
    """Images whose words match a query, best first by BM25: at most ``MAX_WORD_MATCHES`` beside pictures.

    With :meth:`with_captions`, images whose captions are like the query are among them, and ``captions`` (m,) float32
    are the cosines of these, NaN for the others; it is empty otherwise.

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
    captions: Float32 = field(default_factory=_no_cosines)

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
        captions = self.captions[at] if len(self.captions) else self.captions
        return replace(
            self,
            ids=self.ids[at],
            scores=self.scores[at],
            shares=self.shares[at],
            evidence=self.evidence[at],
            cosines=cosines,
            captions=captions,
        )

    def with_captions(self, captions: CaptionHits) -> WordHits:
        """Return these matches, and behind them the images that only captions match; all without cosines."""
        others = np.setdiff1d(captions.ids, self.ids)
        ids = np.concatenate([self.ids, others])
        nothing = np.zeros(len(others))
        order = np.argsort(captions.ids)
        places = np.searchsorted(captions.ids, ids, sorter=order).clip(max=len(order) - 1)
        found = captions.cosines[order[places]]
        found[captions.ids[order[places]] != ids] = np.nan
        return replace(
            self,
            ids=ids,
            scores=np.concatenate([self.scores, nothing]),
            shares=np.concatenate([self.shares, nothing]),
            evidence=np.concatenate([self.evidence, nothing]),
            cosines=_no_cosines(),
            is_exact=self.is_exact and captions.is_exact,
            captions=found,
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
    captions: CaptionCalibration | None = None

    def picture_evidence(self, cosines: Float32) -> Float64:
        """Return the evidence (m,) float64 of pictures with these cosines (m,), in nats; it grows with the cosine.

        It is 0 at the mean, and about the logarithm of how rare such a cosine is far above it.
        """
        return log_odds((cosines.astype(np.float64) - self.mean) / self.deviation)

    def caption_evidence(self, cosines: Float32) -> Float64:
        """Return the evidence of captions with these cosines, in nats: 0 where they are NaN or no rarer than one of
        all captions."""
        if self.captions is None:
            return np.zeros(len(cosines))
        return self.captions.evidence(cosines)

    def relevance(self, cosines: Float32, words: Float64, captions: Float64 | None = None) -> Float64:
        """Return the relevance (m,) of images by cosines (m,) and the evidence (m,) of their words and captions."""
        both = self.picture_evidence(cosines) + self.weight * words
        return both if captions is None or self.captions is None else both + self.captions.weight * captions


@dataclass(frozen=True, slots=True)
class CaptionCalibration:
    """How the evidence of captions is counted: the mean and standard deviation of their cosines with the query, the
    evidence of one that is as rare as one of all, and a weight."""

    mean: float
    deviation: float
    floor: float
    weight: float

    def evidence(self, cosines: Float32) -> Float64:
        """Return the evidence (m,) of captions with these cosines (m,), in nats; 0 where they are NaN."""
        found = np.zeros(len(cosines))
        is_known = ~np.isnan(cosines)
        z = (cosines[is_known].astype(np.float64) - self.mean) / self.deviation
        found[is_known] = np.maximum(log_odds(z) - self.floor, 0)
        return found


def calibrate(
    scores: Float32, quality: str, text_share: float = 1.0, captions: Sequence[CaptionHits] = ()
) -> Calibration:
    """Return the calibration of a query by its cosines (s,) with a sample of the images; s may be 0.

    ``quality`` is that of the encoder; ``text_share`` in (0, 1] is the share of words among the query's terms.
    ``captions`` are those of each collection that has any.
    """
    spoken = None
    if captions:
        mean, deviation = _mean_and_deviation(np.concatenate([one.sample for one in captions]))
        floor = math.log(max(1, sum(one.total for one in captions)))
        weight = text_share * CAPTION_WEIGHTS.get(quality, CAPTION_WEIGHT)
        spoken = CaptionCalibration(mean, deviation, floor, weight)
    mean, deviation = _mean_and_deviation(scores)
    return Calibration(mean, deviation, text_share * WORD_WEIGHTS.get(quality, WORD_WEIGHT), spoken)


def _mean_and_deviation(scores: Float32) -> tuple[float, float]:
    if not len(scores):
        return 0.0, 1.0
    wide = scores.astype(np.float64)
    return float(wide.mean()), float(wide.std()) + ROUNDING


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

    ``pictures`` are the first ``count`` of the ranking by cosine; ``words`` are the matches of words and captions with
    their cosines, in any order. Where an approximate ranking rises between its rungs, an image counts as much as those
    before it, so that a longer ranking only appends.
    """
    alone = ~np.isin(pictures.ids, words.ids)
    falling = np.minimum.accumulate(calibration.picture_evidence(pictures.scores))
    spoken = calibration.caption_evidence(words.captions) if len(words.captions) else np.zeros(len(words.ids))
    matched = calibration.relevance(words.cosines, words.evidence, spoken)
    order = np.lexsort((words.ids, -matched))
    best = words.take(order)
    relevance = np.concatenate([matched[order], falling[alone]])
    zeros = np.zeros(int(alone.sum()))
    both = CandidateSet.of(
        Matches(
            np.concatenate([best.ids, pictures.ids[alone]]), np.concatenate([best.cosines, pictures.scores[alone]])
        ),
        relevance=relevance.astype(np.float32),
        words=np.concatenate([best.evidence + spoken[order], zeros]),
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
