"""Bootstrap percentile intervals (Efron 1979).

A resample is represented by a weight for each value: how often it was drawn. So memory is that of one resample, and
values that belong together, such as captions of one image, can be drawn together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.metrics.estimate import Estimate

RESAMPLES: Final = 5000
LEVEL: Final = 0.95

Values = npt.NDArray[Any]


class Statistic(Protocol):
    """A statistic of (n,) values with (n,) integer ``weights``, not all 0."""

    def __call__(self, values: Values, weights: Values, /) -> float: ...


def mean(values: Values, weights: Values) -> float:
    """Weighted mean."""
    return float(weights @ values / weights.sum())


def median(values: Values, weights: Values) -> float:
    """Weighted median: the middle value, or the mean of the two middle values."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    middle = np.array([(upto[-1] - 1) // 2, upto[-1] // 2])
    return float(values[order[np.searchsorted(upto, middle, side="right")]].mean())


def interval(
    values: Values,
    figure: Statistic = mean,
    *,
    groups: Values | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """Estimate ``figure`` of (n,) values with its interval.

    Values with the same number in ``groups`` (n,), counted from 0, are drawn together. Raises ValueError without
    values.
    """
    values = np.asarray(values, np.float64)
    order = np.argsort(values, kind="stable")  # sorting sorted values again is cheap
    values = values[order]
    figures = [figure(values, weights[order]) for weights in _resample_weights(len(order), groups, resamples, seed)]
    return _estimate(figure(values, np.ones(len(values), np.int64)), figures, level)


def paired_interval(
    a: Values,
    b: Values,
    figure: Statistic = mean,
    *,
    groups: Values | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """Estimate ``figure`` of ``b`` minus that of ``a`` over the same n queries, resampled jointly.

    An interval that excludes 0 shows a difference. Raises ValueError without values, or for different numbers of them.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"not of the same questions: {a.shape} and {b.shape}")
    ones = np.ones(len(a), np.int64)
    figures = [
        figure(b, weights) - figure(a, weights) for weights in _resample_weights(len(a), groups, resamples, seed)
    ]
    return _estimate(figure(b, ones) - figure(a, ones), figures, level)


def _resample_weights(n: int, groups: Values | None, resamples: int, seed: int) -> Iterator[Values]:
    """Yield resamples as weights (n,) int64."""
    if n == 0:
        raise ValueError("no values")
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} values")
    units = n if groups is None else int(groups.max()) + 1
    generator = np.random.default_rng(seed)
    count = 0
    while count < resamples:
        weights = np.bincount(generator.integers(0, units, units), minlength=units)
        value_weights = weights if groups is None else weights[groups]
        if value_weights.any():  # empty if only groups without values were drawn
            count += 1
            yield value_weights


def _estimate(value: float, figures: list[float], level: float) -> Estimate:
    if not 0 < level < 1:
        raise ValueError(f"no level: {level}")
    outside = 50 * (1 - level)
    low, high = np.percentile(figures, [outside, 100 - outside])
    return Estimate(value, float(low), float(high))
