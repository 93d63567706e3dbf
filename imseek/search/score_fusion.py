"""Fuse the ranking of pictures with the matches of words and captions, by evidence in nats.

*A picture* with cosine s has the log-odds that a random image scores less: s is standardised by the mean and the
standard deviation of the query's cosines over a sample of the collection, which are taken as normally distributed. Of
many images some score high by chance, so it counts log(1 + exp(log-odds) / n), where n is the number of images, and a
small part of its log-odds.
*Words* that match count BM25 times the share of the query that the image holds, and text that holds several of them
more than a single word in it.
*Captions* whose vectors are like the query's count by their log-odds over a sample of captions. Where few images have a
caption, an irrelevant caption would outrank pictures without one, so the logarithm of the number of captions is
subtracted, scaled by the share of images without a caption.

*Trust.* Words and captions count by how like the query the pictures of their best matches are: where file names or
captions say nothing of the pictures, these score no higher than others.

*Agreement.* How far the pictures of captions stand out from others, by these captions, measures the encoder's quality
in this collection. Where they stand out clearly, image vectors already carry what captions say, and captions count
less. Where they do not stand out at all, captions do not describe these pictures, and count nothing.

*The sum.* Evidence of words and captions is added, and the evidence of the picture is combined with it as the root of
the sum of squares, so that the stronger evidence dominates. Where images have no caption, a picture alone may count as
much as with one. docs/decisions/0041-rank-fusion.md has the alternatives and figures.

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
from typing import Any, Final

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
#: Weights of words and of captions, by the quality of the encoder, tuned on half A of the stamps (bench/hybrid.py), as
#: all constants here are. What a basic encoder sees orders images that match words equally well.
WORD_WEIGHTS: Final = {"basic": 50.0}
WORD_WEIGHT: Final = 1.0
CAPTION_WEIGHTS: Final = {"basic": 5.0}
CAPTION_WEIGHT: Final = 2.0
#: Pictures that stand out by their own captions this far, in standard deviations, tell captions that belong to them;
#: captions count less where it is more than the second figure, and beyond the third the least of what they may.
OWN_CAPTIONS: Final = 1.0
WEAK_ENCODER: Final = 3.5
STRONG_ENCODER: Final = 5.5
LEAST_CAPTION_WEIGHT: Final = 0.3
#: Words count this much where captions do not belong to their pictures.
LEAST_AGREEMENT_IN_WORDS: Final = 0.25
#: How often text in a picture that holds several words of the query counts besides: an occurrence in a text counts less
#: than one in a name or caption (:mod:`imseek.data.words.scoring`), which is meant for single words.
TEXTS: Final = 2.0
#: The part of its log-odds that a picture counts however likely it is by chance.
CHANCE_PART: Final = 0.2
#: The exponent by which pictures compete with words and captions: 1 is the sum, infinity the larger.
EXPONENT: Final = 2
#: The part of the evidence of a picture that counts besides, so that it orders images that match equally well.
TIE_PART: Final = 1e-3
#: How much more a picture may count where no image has a caption; in proportion, where some have none.
WITHOUT_CAPTIONS: Final = 4.0
#: The number of best matches by whose pictures words or captions are trusted.
TRUST_MATCHES: Final = 10
#: The mean of these pictures' cosines, in standard deviations above the sample's, from which on trust is full.
TRUSTED_WORDS: Final = 2.0
TRUSTED_CAPTIONS: Final = 1.0
#: Words that no picture confirms count this much: a number or a name of a person is not to be seen.
LEAST_TRUST_IN_WORDS: Final = 0.4
#: Fewer captions, or images in a sample, tell nothing.
_LEAST_COMPARED: Final = 16
#: From here on, the tail of the normal distribution is its asymptotic series.
_FAR: Final = 25.0
#: NumPy has none, SciPy's takes too long to import.
_erfc: Final = np.frompyfunc(math.erfc, 1, 1)


def _no_cosines() -> Float32:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class CaptionHits:
    """Images whose captions are most like a query: at most ``MAX_WORD_MATCHES``.

    ``ids`` (m,) int64; ``cosines`` (m,) float32: of each caption with the query; ``sample`` (s,) float32: those of a
    sample of the collection's captions, of which there are ``total``. ``is_exact`` is False if better ones may be
    missing. ``note`` says why captions cannot be compared, or not with their index, if so. ``agreement`` is that of
    :func:`caption_agreement`.
    """

    ids: Ids
    cosines: Float32
    sample: Float32
    total: int
    is_exact: bool = True
    note: str | None = None
    agreement: float = WEAK_ENCODER

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
    def of(cls, matches: WordMatches, texts: WordMatches | None = None) -> WordHits:
        """Return matches without cosines; ``texts`` are those of several words within a text."""
        evidence = matches.scores * matches.shares
        if texts is not None:
            _, match_at, text_at = np.intersect1d(matches.ids, texts.ids, assume_unique=True, return_indices=True)
            evidence[match_at] += TEXTS * (texts.scores * texts.shares)[text_at]
        return cls(
            matches.ids,
            matches.scores,
            matches.shares,
            evidence,
            _no_cosines(),
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
        others = np.sort(np.setdiff1d(captions.ids, self.ids, assume_unique=True))
        ids = np.concatenate([self.ids, others])
        zeros = np.zeros(len(others))
        order = np.argsort(captions.ids)
        places = np.searchsorted(captions.ids, ids, sorter=order).clip(max=len(order) - 1)
        caption_cosines = captions.cosines[order[places]]
        caption_cosines[captions.ids[order[places]] != ids] = np.nan
        return replace(
            self,
            ids=ids,
            scores=np.concatenate([self.scores, zeros]),
            shares=np.concatenate([self.shares, zeros]),
            evidence=np.concatenate([self.evidence, zeros]),
            cosines=_no_cosines(),
            is_exact=self.is_exact and captions.is_exact,
            captions=caption_cosines,
        )

    def first(self, count: int) -> WordHits:
        """Return the best ``count`` matches."""
        return self if len(self.ids) <= count else self.take(range(count))

    @classmethod
    def empty(cls) -> WordHits:
        no_values = np.empty(0)
        return cls(np.empty(0, np.int64), no_values, no_values, no_values, np.empty(0, np.float32), 0, 0, 0)


#: No word matches.
NO_WORDS: Final = WordHits.empty()


def share_frequencies(hits: Sequence[WordHits]) -> list[WordHits]:
    """Return the matches in several collections, scored as if these were one.

    BM25 counts how rare words are in a collection. For one word this is exact; for several, it goes by how many images
    match any of them.
    """
    common_idf = idf(sum(one.frequency for one in hits), sum(one.documents for one in hits))
    ratios = [common_idf / idf(one.frequency, one.documents) for one in hits]
    return [
        replace(one, scores=one.scores * ratio, evidence=one.evidence * ratio)
        for one, ratio in zip(hits, ratios, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the evidence of a query is counted: the mean and standard deviation of its cosines, the words' weight, the
    logarithm of the number of images, and the trust in words, which is a part of their weight."""

    mean: float
    deviation: float
    weight: float
    chance: float = 0.0
    captions: CaptionCalibration | None = None
    trust: float = 1.0

    def picture_evidence(self, cosines: Float32) -> Float64:
        """Return the log-odds (m,) float64 of pictures with these cosines (m,), in nats; they grow with the cosine.

        They are 0 at the mean, and about the logarithm of how rare such a cosine is far above it.
        """
        return log_odds((cosines.astype(np.float64) - self.mean) / self.deviation)

    def caption_evidence(self, cosines: Float32) -> Float64:
        """Return the trusted evidence of captions with these cosines, in nats: 0 where they are NaN or no rarer than
        one of all captions."""
        if self.captions is None:
            return np.zeros(len(cosines))
        return self.captions.trust * self.captions.evidence(cosines, self.captions.floor)

    def trusted_evidence(self, words: WordHits) -> Float64:
        """Return what words and captions of matches (m,) say beyond chance, trusted as in the ranking, unweighted.

        An order may follow a weak hint; whether an image is shown at all, and why, may not.
        """
        return self.trust * words.evidence + (self.caption_evidence(words.captions) if len(words.captions) else 0.0)

    def match_evidence(self, words: WordHits) -> Float64:
        """Return what words and captions of matches (m,) count together, weighted and trusted: never negative."""
        evidence = self.weight * words.evidence
        if self.captions is None or not len(words.captions):
            return evidence
        captions = self.captions
        floor = captions.floor * (1 - captions.coverage)
        return evidence + captions.weight * captions.evidence(words.captions, floor)

    def relevance(self, cosines: Float32, matches: Float64) -> Float64:
        """Return the relevance (m,) of images by cosines (m,) and :meth:`match_evidence` (m,), 0 without a match."""
        odds = self.picture_evidence(cosines)
        pictures = np.logaddexp(0, odds - self.chance) + CHANCE_PART * odds
        positive = np.maximum(pictures, 0)
        combined = np.where(matches > 0, (positive**EXPONENT + matches**EXPONENT) ** (1 / EXPONENT), positive)
        coverage = 1.0 if self.captions is None else self.captions.coverage
        best: Float64 = np.maximum(combined, (1 + WITHOUT_CAPTIONS * (1 - coverage)) * positive)
        return best + np.minimum(pictures, 0) + TIE_PART * pictures


@dataclass(frozen=True, slots=True)
class CaptionCalibration:
    """How the evidence of captions is counted: the mean and standard deviation of their cosines with the query, the
    log-odds of one that is as rare as one of all, a weight, the share of images that have a caption, and the trust in
    captions, which is a part of their weight."""

    mean: float
    deviation: float
    floor: float
    weight: float
    coverage: float = 1.0
    trust: float = 1.0

    def evidence(self, cosines: Float32, floor: float) -> Float64:
        """Return what captions with these cosines (m,) count above a floor; 0 where they are NaN."""
        nats = np.zeros(len(cosines))
        is_known = ~np.isnan(cosines)
        z = (cosines[is_known].astype(np.float64) - self.mean) / self.deviation
        nats[is_known] = np.maximum(log_odds(z) - floor, 0)
        return nats


def calibrate(
    scores: Float32,
    quality: str,
    text_share: float = 1.0,
    captions: Sequence[CaptionHits] = (),
    words: Sequence[WordHits] = (),
    images: int | None = None,
) -> Calibration:
    """Return the calibration of a query in one collection, or in the first of those whose ``captions`` these are; see
    :func:`calibrate_each`."""
    return calibrate_each(scores, quality, text_share, captions or [None], words, images)[0]


def calibrate_each(
    scores: Float32,
    quality: str,
    text_share: float,
    captions: Sequence[CaptionHits | None],
    words: Sequence[WordHits],
    images: int | None,
) -> list[Calibration]:
    """Return the calibration of a query in each collection, by its cosines (s,) with a sample of all (s may be 0).

    They differ by how captions agree with pictures in a collection, and are otherwise the same, so that evidence can be
    compared. ``quality`` is that of the encoder; ``text_share`` in (0, 1] is the share of words among the terms of the
    query. ``captions`` are those of each collection, None where it has none; ``words`` the matches in each, with their
    cosines; ``images`` the number of images in all (None: s).
    """
    images = len(scores) if images is None else images
    mean, deviation = _mean_and_deviation(scores)
    word_trust = _trust([(one.ids, one.evidence, one.cosines) for one in words], mean, deviation, TRUSTED_WORDS)
    trust = text_share * max(word_trust, LEAST_TRUST_IN_WORDS)
    calibration = Calibration(mean, deviation, trust, math.log(max(1, images)), trust=trust)
    if all_captions := [one for one in captions if one is not None]:
        caption_matches = [
            (one.ids, np.nan_to_num(one.captions + 2), one.cosines) for one in words if len(one.captions)
        ]
        trust = text_share * _trust(caption_matches, mean, deviation, TRUSTED_CAPTIONS)
        total = sum(one.total for one in all_captions)
        caption_calibration = CaptionCalibration(
            *_mean_and_deviation(np.concatenate([one.sample for one in all_captions])),
            floor=math.log(max(1, total)),
            weight=trust,
            coverage=min(1.0, total / max(1, images)),
            trust=trust,
        )
        calibration = replace(calibration, captions=caption_calibration)
    return [_weigh(calibration, quality, WEAK_ENCODER if one is None else one.agreement) for one in captions]


def _weigh(calibration: Calibration, quality: str, agreement: float) -> Calibration:
    """Return the calibration for a collection whose captions agree so with their pictures."""
    belonging = min(max(agreement / OWN_CAPTIONS, 0.0), 1.0)
    trust = calibration.trust * max(belonging, LEAST_AGREEMENT_IN_WORDS)
    captions = calibration.captions
    if captions is not None:
        caption_trust = captions.trust * belonging
        weight = caption_trust * (CAPTION_WEIGHTS.get(quality) or _caption_weight(agreement))
        captions = replace(captions, weight=weight, trust=caption_trust)
    return replace(calibration, weight=trust * WORD_WEIGHTS.get(quality, WORD_WEIGHT), trust=trust, captions=captions)


def _caption_weight(agreement: float) -> float:
    """Return the weight of captions beside a trained encoder: the better it is here, the less."""
    strength = (agreement - WEAK_ENCODER) / (STRONG_ENCODER - WEAK_ENCODER)
    return CAPTION_WEIGHT + (LEAST_CAPTION_WEIGHT - CAPTION_WEIGHT) * min(max(strength, 0.0), 1.0)


def caption_agreement(captions: Float32, pictures: Float32, sample: Float32) -> float:
    """Return how far pictures stand out by their own captions, in standard deviations over a sample, in the mean.

    ``captions`` (m, dim) are unit rows of captions, ``pictures`` (m, dim) of their images, ``sample`` (s, dim) of any
    images. 0 is chance. With too few to tell, a weak encoder is assumed.
    """
    if min(len(captions), len(sample)) < _LEAST_COMPARED:
        return WEAK_ENCODER
    # Row by row: the first product of two matrices in a process costs 30 ms.
    cosines = np.array([sample @ caption for caption in captions], np.float64)
    own_cosines = np.einsum("md,md->m", captions, pictures, dtype=np.float64)
    return float(((own_cosines - cosines.mean(axis=1)) / (cosines.std(axis=1) + ROUNDING)).mean())


def _trust(
    matches: Sequence[tuple[Ids, npt.NDArray[np.floating[Any]], Float32]],
    mean: float,
    deviation: float,
    expected: float,
) -> float:
    """Return the trust in [0, 1] in matches of words or captions, by the pictures of the best of them.

    ``matches`` are ids, evidence (0: no match), and cosines of pictures with the query, in each collection. Trust is
    the mean of these cosines in standard deviations, and its standard error by chance, as a share of what is expected.
    """
    nonempty = [(ids, evidence, cosines) for ids, evidence, cosines in matches if len(cosines)]
    if not nonempty:
        return 1.0
    ids, evidence, cosines = (np.concatenate(parts) for parts in zip(*nonempty, strict=True))
    best = np.lexsort((ids, -evidence))[:TRUST_MATCHES]
    best = best[evidence[best] > 0]
    if not len(best):
        return 1.0
    above = float(cosines[best].mean(dtype=np.float64) - mean) / deviation + 1 / math.sqrt(len(best))
    return min(max(above / expected, 0.0), 1.0)


def _mean_and_deviation(scores: Float32) -> tuple[float, float]:
    if not len(scores):
        return 0.0, 1.0
    wide = scores.astype(np.float64)
    return float(wide.mean()), float(wide.std()) + ROUNDING


def log_odds(z: Float64) -> Float64:
    """Return log(Φ(z) / (1 − Φ(z))) of each ``z`` (m,), where Φ is the standard normal distribution, in nats."""
    return _surprisal(z) - _surprisal(-z)


def _surprisal(z: Float64) -> Float64:
    """Return −log of the upper tail of the standard normal distribution beyond each ``z`` (m,)."""
    tails = np.asarray(_erfc(np.minimum(z, _FAR) / math.sqrt(2)), np.float64)
    surprisal: Float64 = -np.log(tails / 2)
    if (is_far := z >= _FAR).any():
        # Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.12.
        far = z[is_far]
        surprisal[is_far] = far * far / 2 + np.log(far * math.sqrt(2 * math.pi)) - np.log1p(-1 / far**2 + 3 / far**4)
    return surprisal


def fuse_rankings(pictures: Matches, words: WordHits, calibration: Calibration, count: int) -> CandidateSet:
    """Return the first ``count`` images of the fused ranking, with their relevance in nats.

    ``pictures`` are the first ``count`` of the ranking by cosine; ``words`` are the matches of words and captions with
    their cosines, in any order. Where an approximate ranking rises between its rungs, an image counts as much as those
    before it, so that a longer ranking only appends.
    """
    is_unmatched = ~np.isin(pictures.ids, words.ids, assume_unique=True)
    unmatched = calibration.relevance(pictures.scores, np.zeros(len(pictures)))
    falling = np.minimum.accumulate(unmatched)
    matched = calibration.relevance(words.cosines, calibration.match_evidence(words))
    order = np.lexsort((words.ids, -matched))
    best = words.take(order)
    relevance = np.concatenate([matched[order], falling[is_unmatched]])
    zeros = np.zeros(int(is_unmatched.sum()))
    fused = CandidateSet.of(
        Matches(
            np.concatenate([best.ids, pictures.ids[is_unmatched]]),
            np.concatenate([best.cosines, pictures.scores[is_unmatched]]),
        ),
        relevance=relevance.astype(np.float32),
        words=np.concatenate([calibration.trusted_evidence(best), zeros]),
        shares=np.concatenate([best.shares, zeros]),
    )
    return fused.take(np.argsort(-relevance, kind="stable")[:count])


def rank_by_words(words: WordHits, count: int) -> CandidateSet:
    """Return the first ``count`` images that words match, by BM25; the score of each is its share of the query."""
    best = words.first(count)
    return CandidateSet.of(
        Matches(best.ids, best.shares.astype(np.float32)),
        relevance=best.scores.astype(np.float32),
        words=best.evidence,
        shares=best.shares,
    )
