"""Ways to cut off an answer, for cutoff.py: (q, n) scores → (q,) the score at which each list ends.

All also take the (n,) scores of neutral texts with the images (None without such texts), and their parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import NormalDist

import numpy as np

from imseek.search.cutoff import EXPECTED_FALSE_HITS, MIN_CLEARANCE, ROUNDING

Array = np.ndarray
Way = Callable[..., Array]


def quantile(scores: Array, share: float) -> Array:
    return np.quantile(scores, share, axis=1)


def deviations(scores: Array, _: Array | None, c: float) -> Array:
    return scores.mean(axis=1) + c * scores.std(axis=1)


def robust_deviations(scores: Array, _: Array | None, c: float) -> Array:
    middle = np.median(scores, axis=1)
    return middle + c * 1.4826 * np.median(np.abs(scores - middle[:, None]), axis=1)


def exponential_tail(scores: Array, _: Array | None, expected: float) -> Array:
    """An exponential tail (Gumbel's domain) between median and 90th percentile, carried on to ``expected`` images."""
    low, high = quantile(scores, 0.5), quantile(scores, 0.9)
    return low + (high - low) / np.log(5) * np.log(scores.shape[1] * 0.5 / expected)


def pareto_tail(scores: Array, _: Array | None, expected: float) -> Array:
    """A generalised Pareto tail above the upper quartile by weighted moments (Hosking and Wallis 1987)."""
    ends = []
    for row in scores:
        start = np.quantile(row, 0.75)
        excess = np.sort(row[row > start] - start)
        count = len(excess)
        mean = excess.mean()
        weighted = (excess * (count - np.arange(1, count + 1)) / (count - 1)).mean()
        shape = 2 - mean / max(mean - 2 * weighted, 1e-9)
        scale = 2 * mean * weighted / max(mean - 2 * weighted, 1e-9)
        growth = np.log(count / expected)
        rise = growth if abs(shape) < 1e-6 else np.expm1(shape * growth) / shape
        ends.append(start + scale * rise)
    return np.array(ends)


def neutral_multiple(scores: Array, neutral: Array | None, c: float) -> Array:
    return np.full(len(scores), c * np.asarray(neutral).mean())


def neutral_and_near(scores: Array, neutral: Array | None, c: float, near: float) -> Array:
    """End a list with a score above c times the image's neutral score at a share of its best; leave others empty."""
    lives = (scores > c * np.asarray(neutral)).any(axis=1)
    return np.where(lives, near * scores.max(axis=1), np.inf)


def otsu(scores: Array, _: Array | None, least: float) -> Array:
    """Otsu's two classes of least variance; an empty list where their means lie closer than ``least``."""
    ordered = -np.sort(-scores, axis=1)
    count = scores.shape[1]
    sizes = np.arange(1, count)
    sums = ordered.cumsum(axis=1)
    distances = sums[:, :-1] / sizes - (sums[:, -1:] - sums[:, :-1]) / (count - sizes)
    best = (sizes * (count - sizes) * distances**2).argmax(axis=1)
    rows = np.arange(len(scores))
    return np.where(distances[rows, best] >= least, ordered[rows, best], np.inf)


def largest_gap(scores: Array, _: Array | None, least: float) -> Array:
    """End before the largest gap among the best 60; an empty list where it is smaller than ``least``."""
    ordered = -np.sort(-scores, axis=1)[:, :61]
    gaps = ordered[:, :-1] - ordered[:, 1:]
    best = gaps.argmax(axis=1)
    rows = np.arange(len(scores))
    return np.where(gaps[rows, best] >= least, ordered[rows, best], np.inf)


def mixture(scores: Array, _: Array | None, least: float) -> Array:
    """Two Gaussians by expectation maximisation; an empty list where the means lie within ``least`` deviations."""
    ends = []
    for row in scores.astype(np.float64):
        means, spreads, weights = (
            np.quantile(row, [0.4, 0.98]),
            np.full(2, row.std() / 2 + 1e-3),
            np.array([0.9, 0.1]),
        )
        for _step in range(30):
            density = weights * np.exp(-((row[:, None] - means) ** 2) / 2 / spreads**2) / spreads + 1e-300
            share = density / density.sum(axis=1, keepdims=True)
            total = share.sum(axis=0) + 1e-9
            means, weights = (share * row[:, None]).sum(axis=0) / total, total / len(row)
            spreads = np.sqrt((share * (row[:, None] - means) ** 2).sum(axis=0) / total) + 1e-3
        upper = row[(share[:, 1] > 0.5) & (row > means[0])]
        clear = len(upper) and means[1] - means[0] >= least * spreads[0]
        ends.append(upper.min() if clear else np.inf)
    return np.array(ends)


def clearance(
    scores: Array,
    neutral: Array | None,
    near: float,
    expected: float = EXPECTED_FALSE_HITS,
    steps: float | None = None,
) -> Array:
    """The shipped rule with other numbers, or with ``steps`` steps for any number of images."""
    middle, quartile = quantile(scores, 0.5), quantile(scores, 0.25)
    step = middle - quartile + ROUNDING
    if neutral is not None:
        usual = np.median(neutral)
        lower = usual < middle
        step = np.where(lower, usual - np.quantile(neutral, 0.25) + ROUNDING, step)
        middle = np.where(lower, usual, middle)
    best = scores.max(axis=1)
    by_chance = NormalDist().inv_cdf(1 - min(0.5, expected / scores.shape[1])) / NormalDist().inv_cdf(0.75)
    clear = max(MIN_CLEARANCE, by_chance) if steps is None else steps
    ends = middle + np.maximum(clear * step, near * (best - middle))
    return ends if neutral is None else np.where((scores > neutral).any(axis=1), ends, np.inf)


WAYS: tuple[tuple[str, Way, tuple[Iterable[float], ...]], ...] = (
    ("fixed score", lambda s, _, c: np.full(len(s), c), (np.linspace(0.02, 0.98, 193),)),
    ("mean + c deviations", deviations, (np.linspace(0, 12, 97),)),
    ("median + c robust deviations", robust_deviations, (np.geomspace(1, 80, 80),)),
    ("exponential tail, c expected by chance", exponential_tail, (np.geomspace(1e-8, 30, 80),)),
    ("generalised Pareto tail, c expected", pareto_tail, (np.geomspace(1e-6, 30, 40),)),
    ("c × mean score of neutral words", neutral_multiple, (np.linspace(0.1, 4, 79),)),
    ("Otsu, classes at least c apart", otsu, (np.linspace(0, 0.7, 71),)),
    ("two Gaussians, at least c apart", mixture, (np.geomspace(0.5, 60, 16),)),
    ("largest gap, at least c", largest_gap, (np.linspace(0, 0.3, 61),)),
    ("neutral words per image × c, c × best", neutral_and_near, (np.linspace(0.6, 2.4, 19), np.arange(0.1, 0.8, 0.1))),
)  # fmt: skip
