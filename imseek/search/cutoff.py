"""Find where the relevant results of a query end, without a fixed score threshold.

What counts as a high score differs between encoders, and between text and picture queries. So the scores of a query
are compared with those of irrelevant content, estimated in two ways:

- *The collection.* Most images are irrelevant to most queries. The median score over a sample of the collection is
  what an irrelevant image scores; the distance from the median down to the lower quartile (one step) measures the
  spread. The upper half is not used, because the relevant images are in it.
- *Neutral texts.* An image that the query fits no better than ``a photo`` does is not what the user asked for. If
  that holds for all of the best images, the result is empty.

An image is kept if it stands clear of the median, and its distance above the median is at least ``MIN_SHARE_OF_BEST``
times that of the best image. The number of steps that it must clear grows with the number of images searched, because
the best of many irrelevant images scores higher than the best of few: it is chosen such that ``EXPECTED_FALSE_HITS``
irrelevant images would be kept if their scores were normally distributed, but is never below ``MIN_CLEARANCE``. The
constants were tuned on half A of the stamps; docs/decisions/0012-cutoff.md compares alternatives. Only score
differences matter: shifting or scaling all scores changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, Matches
from imseek.errors import UsageError
from imseek.search.candidate_set import CandidateSet
from imseek.search.near_duplicates import SAME_COSINE
from imseek.search.query import Query
from imseek.types.adapters import adapter_of
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery
    from imseek.search.score_fusion import Calibration

#: Texts without specific content, for the ``neutral`` scores.
NEUTRAL_TEXTS: Final = ("a photo", "a picture")
#: Rows in a sample of the collection. This is generous: on the stamps, 100 rows gave the same cut as 333.
SAMPLE: Final = 4096
#: The number of best images that are compared with the neutral texts.
MAX_COMPARED: Final = 100
#: Smaller samples cut nothing: with 120 images a quarter of the queries whose best hit is right would lose all hits,
#: with 80 a third.
MIN_SAMPLE: Final = 200

#: Added to the neutral texts' scores where the best images must beat them, for ``builtin`` from version 2 on: its
#: learned head gives each query some picture that is like it. Chosen on half A (docs/log.md).
BUILTIN_NEUTRAL_MARGIN: Final = 0.12
#: The same where the words of the collection name things: what none of them names, pictures have to show clearly.
NAMED_NEUTRAL_MARGIN: Final = 0.25
#: There, beside a basic encoder, words that match say that something is there only if an image holds this much of the
#: query, by the rarity of its words.
MIN_NAMED_SHARE: Final = 0.5
#: Or if a caption has this cosine with the query, in ``builtin``'s space.
NAMED_CAPTION_COSINE: Final = 0.6
EXPECTED_FALSE_HITS: Final = 8.0
MIN_CLEARANCE: Final = 2.5
MIN_SHARE_OF_BEST: Final = 0.3
#: By words alone, a relevant image holds at least this much of the query that the image with most of it holds.
MIN_WORD_SHARE: Final = 0.5
#: Distance from the median of a normal distribution to its quartile, in standard deviations.
_QUARTILE: Final = 0.6744897501960817
#: Added to every step: smaller score differences come from float16 rounding alone.
ROUNDING: Final = 1e-3


def cut_irrelevant(candidates: CandidateSet, query: Query, context: PreparedQuery) -> CandidateSet:
    """Drop the candidates beyond the end of relevance.

    Candidates come best first. Where words or captions match as well (:mod:`imseek.search.score_fusion`), an image is
    also relevant if its words hold the whole query, or if all together are as rare as a picture at the cutoff. By words
    alone, and beside a basic encoder, it is relevant if it holds half as much of the query as the image that holds most
    of it.
    """
    if not context.spaces:
        relevant = candidates.shares >= MIN_WORD_SHARE * candidates.shares.max(initial=0)
    elif context.calibration is None or context.pictures is None:
        relevant = np.arange(len(candidates)) < _count(candidates.ids, candidates.scores, query, context)[0]
    else:
        relevant = _relevant_by_both(candidates, query, context, context.pictures, context.calibration)
    positions = np.flatnonzero(relevant)
    return replace(candidates.take(positions), irrelevant=len(candidates) - len(positions))


def _relevant_by_both(
    candidates: CandidateSet, query: Query, context: PreparedQuery, pictures: Matches, calibration: Calibration
) -> npt.NDArray[np.bool_]:
    """Return (m,): which candidates are relevant by the picture, by all of the query's words, or by both together."""
    count, estimate = _count(pictures.ids, pictures.scores, query, context)
    if estimate.sampled < MIN_SAMPLE or not len(pictures):  # One of several collections may have no allowed image.
        return np.ones(len(candidates), np.bool_)
    is_basic, best_share = calibration.weight > 1, candidates.shares.max(initial=0)
    if is_basic and context.has_names and not count and best_share < MIN_NAMED_SHARE and not _is_captioned(context):
        return np.zeros(len(candidates), np.bool_)
    relevant: npt.NDArray[np.bool_] = np.isin(candidates.ids, pictures.ids[:count], assume_unique=True)
    if is_basic:  # Words come first with this encoder: what they find is not cut before pictures.
        relevant |= (candidates.shares > 0) & (candidates.shares >= MIN_WORD_SHARE * best_share)
    else:
        relevant |= candidates.shares >= 1 - ROUNDING
    end = np.array([estimate.level + estimate.margin(float(pictures.scores[0]))], np.float32)
    matching = np.flatnonzero(candidates.words > 0)
    evidence = candidates.words[matching]
    if count:  # Otherwise no picture is one of what the query says.
        evidence += calibration.picture_evidence(candidates.scores[matching])
    relevant[matching] |= evidence >= calibration.picture_evidence(end)
    return relevant


def _is_captioned(context: PreparedQuery) -> bool:
    """Return whether a caption says what the query says. Version 1 of ``builtin`` has no measure: then any counts."""
    if context.captions is None or not len(context.captions.ids):
        return False
    least = NAMED_CAPTION_COSINE if _neutral_margin(context.spaces[0]) else -1.0
    return float(context.captions.cosines.max()) >= least


def _count(ids: Ids, scores: Float32, query: Query, context: PreparedQuery) -> tuple[int, Background]:
    """Return how many images are relevant by their scores (m,), best first, and the background of these."""
    samples, vectors = context.samples(), context.query_vectors
    sample_of_scores = sample_scores(samples, vectors.units, vectors.shares)
    if query.by != "caption" and context.is_text:  # Text and pictures form separate clusters in the space.
        neutral = context.encoder.reference_texts(context.spaces[0], NEUTRAL_TEXTS)
        best = context.rows(ids[:MAX_COMPARED])[0]
        estimate = background(sample_of_scores, neutral_scores(samples[0], neutral), searched=context.total)
        floor = neutral_scores(best, neutral) + np.float32(
            _neutral_margin(context.spaces[0], has_names=context.has_names)
        )
        return count_relevant(scores, estimate, floor), estimate
    estimate = background(sample_of_scores, searched=context.total)
    # A picture is always relevant to itself.
    same = int(np.count_nonzero(scores >= SAME_COSINE))
    return max(same, count_relevant(scores, estimate)), estimate


def _neutral_margin(space: SpaceInfo, *, has_names: bool = False) -> float:
    below = adapter_of(space.encoder)
    if (space.encoder if below is None else below[1]) != "builtin":
        return 0.0
    from imseek.encoders.builtin.space import DIM

    # An adapter hides the version, but not the learned head's dimensions; it moves pictures only, not what texts say.
    if space.dim <= DIM:
        return 0.0
    return NAMED_NEUTRAL_MARGIN if has_names else BUILTIN_NEUTRAL_MARGIN


@dataclass(frozen=True, slots=True)
class Background:
    """Score level of irrelevant images for one query, and ``step``, the spread of that level.

    ``sampled`` is the size of the sample behind the estimate, ``searched`` the number of images that the query was
    compared with.
    """

    sampled: int
    searched: int
    level: float
    step: float

    @property
    def clear(self) -> float:
        """The score at which an image stands clear of the background."""
        return self.level + clearance_steps(self.searched) * self.step

    def margin(self, best: float) -> float:
        """Return how far above the level a relevant image scores, if the best image has the score ``best``."""
        return max(self.clear - self.level, MIN_SHARE_OF_BEST * (best - self.level))


def clearance_steps(searched: int) -> float:
    """Return how many steps above the level an image must score to stand clear, given the number of images searched."""
    if searched <= 2 * EXPECTED_FALSE_HITS:
        return MIN_CLEARANCE
    from statistics import NormalDist  # imported late: it loads decimal and fractions

    return max(MIN_CLEARANCE, NormalDist().inv_cdf(1 - EXPECTED_FALSE_HITS / searched) / _QUARTILE)


def background(scores: Float32, neutral: Float32 | None = None, *, searched: int | None = None) -> Background:
    """Estimate the background from the query's scores against a random sample of the collection.

    ``scores`` is (s,) float32; s = 0 is allowed. ``searched`` is the number of images that can be hits, after any
    filter (None: s). ``neutral`` (s,) float32 holds the mean scores of neutral texts against the same rows: if the
    query beats them even on the median image, most of the collection is relevant, and the neutral scores set the
    level instead. Raises UsageError for other shapes.
    """
    if scores.ndim != 1 or (neutral is not None and neutral.shape != scores.shape):
        raise UsageError("the scores of a sample are (s,), and so are those of neutral texts")
    searched = len(scores) if searched is None else searched
    if not len(scores):
        return Background(0, searched, 0.0, ROUNDING)
    level, step = _median_and_step(scores)
    if neutral is not None:
        level, step = min((level, step), _median_and_step(neutral))
    return Background(len(scores), searched, level, step)


def sample_scores(samples: Sequence[Float32], queries: Sequence[Float32], shares: Sequence[float] = (1.0,)) -> Float32:
    """Return the scores (s,) float32 of a query against a sample, combined over spaces.

    Each space has unit rows (s, dim), a unit query (dim,) and a share, as in
    :class:`imseek.search.retrieve.SpaceQuery`. All samples hold the same images in the same order.
    """
    total = np.zeros(len(samples[0]), np.float64)
    for rows, query, share in zip(samples, queries, shares, strict=True):
        total += share * _products(rows, query).astype(np.float64)
    return total.astype(np.float32)


def _products(rows: Float32, vector: Float32) -> Float32:
    """Return the dot products (n,) of rows (n, dim) with a vector (dim,).

    Not by BLAS: the threads that it wakes for so little wait for each other, up to 20 ms where a browser has the
    second processor, and its last digit depends on their number.
    """
    products: Float32 = np.einsum("nd,d->n", rows, vector)
    return products


def neutral_scores(rows: Float32, texts: Float32) -> Float32:
    """Return the mean cosine (n,) float32 of each unit row (n, dim) with the vectors of neutral texts (t, dim)."""
    return _products(rows, texts.mean(axis=0, dtype=np.float32))


def count_relevant(scores: Float32, background: Background, neutral: Float32 | None = None) -> int:
    """Return how many of the best images are relevant. ``scores`` is (m,) float32, descending.

    ``neutral`` (j,) float32, j ≤ m, holds the mean scores of neutral texts for the first j images; pass it for
    text-only queries, for the first ``MAX_COMPARED`` images. Without it (pictures, vectors, encoders without text) only
    the collection decides.

    ``scores`` must start with the best image overall: for a later page, include all earlier images. Everything is
    kept if the sample has fewer than ``MIN_SAMPLE`` images, or if all images score the same. Raises UsageError if the
    scores do not descend.
    """
    if scores.ndim != 1 or not (scores[1:] <= scores[:-1]).all():
        raise UsageError("scores are (m,), best first")
    if neutral is not None and (neutral.ndim != 1 or len(neutral) > len(scores)):
        raise UsageError("scores of neutral texts are (j,), for the first j images")
    if not len(scores) or background.sampled < MIN_SAMPLE:
        return len(scores)
    if neutral is not None and len(neutral) and not (scores[: len(neutral)] > neutral).any():
        return 0
    above = scores.astype(np.float64) - background.level
    if above[0] - above[-1] < ROUNDING and abs(above[0]) < ROUNDING:
        return len(scores)  # all scores are equal up to rounding
    end = background.margin(float(scores[0]))
    return int(np.count_nonzero(above >= end))


def _median_and_step(scores: Float32) -> tuple[float, float]:
    """Return the median of ``scores`` and the step from it down to the lower quartile."""
    sorted_scores = np.sort(scores.astype(np.float64))
    quartile, median = quantile(sorted_scores, 0.25), quantile(sorted_scores, 0.5)
    return median, median - quartile + ROUNDING


def quantile(ordered: npt.NDArray[np.float64], share: float) -> float:
    """Return a quantile of scores (s,), ascending, s > 0, as ``np.quantile`` does, which imports masked arrays."""
    position = share * (len(ordered) - 1)
    at, fraction = int(position), position % 1
    low, high = float(ordered[at]), float(ordered[min(at + 1, len(ordered) - 1)])
    return high - (high - low) * (1 - fraction) if fraction >= 0.5 else low + (high - low) * fraction
