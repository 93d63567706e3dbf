"""Where relevance ends in one answer, without a score that is fixed in advance.

What counts as a high score differs from encoder to encoder, and between words and pictures. So a query is compared
with what it scores where it means nothing, in two ways:

- *The collection.* Most images are irrelevant to most queries. The median over a sample of the collection is what an
  irrelevant image scores for this query, the step from there down to the lower quartile says how much that varies.
  The upper half says nothing here: what is relevant lies there.
- *Neutral words.* An image that the query fits no better than ``a photo`` does, is not what was asked for. If that is
  so of all the best, nothing is.

An image is kept that stands clear of the median, and above it by at least the share ``NEAR`` of what the best image
is. How many steps are clear depends on how many images were searched, since the best of many irrelevant ones scores
more than the best of few: so many that, were irrelevant scores normal, ``EXPECTED`` of them would be kept, but never
fewer than ``CLEAR``. The numbers were chosen on half A of the stamps; docs/decisions/0012-cutoff.md compares this with
other ways. Only differences of scores count: adding to or scaling all scores changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.errors import UsageError
from imseek.types import Float32

#: Texts that say nothing in particular, for ``neutral``.
NEUTRAL_TEXTS: Final = ("a photo", "a picture")
#: As many rows of a sample are more than enough: on the stamps, 100 cut like 333.
SAMPLE: Final = 4096
#: As many of the best images are compared with neutral words.
COMPARED: Final = 100
#: With fewer images nothing is cut: of right answers that come first, a quarter would be among 120, a third among 80.
FEWEST: Final = 200

EXPECTED: Final = 8.0
CLEAR: Final = 2.5
NEAR: Final = 0.3
#: From the median of a normal distribution to its quartile, in deviations.
_QUARTILE: Final = 0.6744897501960817
#: Added to the step between median and quartile: below it, scores differ by rounding to float16 alone.
ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Background:
    """What irrelevant images score for one query: ``level``, and ``step``, by how much that varies.

    ``sampled`` is the size of the sample they were taken from, ``searched`` the number of images that the query was
    compared with.
    """

    sampled: int
    searched: int
    level: float
    step: float

    @property
    def clear(self) -> float:
        """The score from which on an image stands clear."""
        return self.level + clear_steps(self.searched) * self.step


def clear_steps(searched: int) -> float:
    """How many steps above the level an image stands clear among so many."""
    if searched <= 2 * EXPECTED:
        return CLEAR
    from statistics import NormalDist  # brings decimal and fractions along

    return max(CLEAR, NormalDist().inv_cdf(1 - EXPECTED / searched) / _QUARTILE)


def background(scores: Float32, neutral: Float32 | None = None, *, searched: int | None = None) -> Background:
    """From the scores of the query with a random sample of the collection, (s,) float32; s = 0 is allowed.

    ``searched`` is how many images can be hits: those of the collection, or those that a condition lets through (None:
    as many as were sampled).

    ``neutral`` (s,) float32: what neutral texts score with the same rows, on average. If the query fits even the
    median image better than they do, most of the collection is relevant, and they say what an irrelevant image scores.
    """
    if scores.ndim != 1 or (neutral is not None and neutral.shape != scores.shape):
        raise UsageError("the scores of a sample are (s,), and so are those of neutral texts")
    searched = len(scores) if searched is None else searched
    if not len(scores):
        return Background(0, searched, 0.0, ROUNDING)
    level, step = _level(scores)
    if neutral is not None:
        level, step = min((level, step), _level(neutral))
    return Background(len(scores), searched, level, step)


def sample_scores(
    samples: Sequence[Float32], queries: Sequence[Float32], shares: Sequence[float] = (1.0,)
) -> Float32:
    """(s,) float32 scores with a sample: per space its unit rows (s, dim), the unit query (dim,) and its share.

    Shares are those of :class:`imseek.search.space_fusion.Part`, and samples hold the same images in the same order.
    """
    total = np.zeros(len(samples[0]), np.float64)
    for rows, query, share in zip(samples, queries, shares, strict=True):
        total += share * (rows @ query).astype(np.float64)
    return total.astype(np.float32)


def neutral_scores(rows: Float32, texts: Float32) -> Float32:
    """(n,) float32: the mean cosine of unit rows (n, dim) with the vectors of neutral texts (t, dim)."""
    means: Float32 = rows @ texts.mean(axis=0, dtype=np.float32)
    return means


def cut(scores: Float32, background: Background, neutral: Float32 | None = None) -> int:
    """How many of the best images to keep: of ``scores``, (m,) float32 in descending order, the first so many.

    ``neutral`` (j,) float32, j ≤ m: the mean score of neutral texts with each of the first j images, for a query that
    is words alone; the first ``COMPARED`` do. Without it (pictures, vectors, an encoder without words) the collection
    alone decides.

    ``scores`` begin with the best image of all: for a later page of an answer, cut what comes before it too. With
    fewer than ``FEWEST`` images in the sample everything is kept, and so is it where all images score the same.
    Raises UsageError for scores that do not descend.
    """
    if scores.ndim != 1 or not (scores[1:] <= scores[:-1]).all():
        raise UsageError("scores are (m,), best first")
    if neutral is not None and (neutral.ndim != 1 or len(neutral) > len(scores)):
        raise UsageError("scores of neutral texts are (j,), for the first j images")
    if not len(scores) or background.sampled < FEWEST:
        return len(scores)
    if neutral is not None and len(neutral) and not (scores[: len(neutral)] > neutral).any():
        return 0
    above = scores.astype(np.float64) - background.level
    if above[0] - above[-1] < ROUNDING and abs(above[0]) < ROUNDING:
        return len(scores)  # the same for all, as far as can be told
    end = max(background.clear - background.level, NEAR * above[0])
    return int(np.count_nonzero(above >= end))


def _level(scores: Float32) -> tuple[float, float]:
    quartile, median = np.quantile(scores.astype(np.float64), (0.25, 0.5))
    return float(median), float(median - quartile) + ROUNDING
