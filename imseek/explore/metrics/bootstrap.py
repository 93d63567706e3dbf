"""How sure a figure is, by drawing the sample anew from itself (Efron 1979), as percentile intervals.

A draw is a weight for each value: how often it came. So draws take memory for one of them, however many are made, and
what belongs together can be drawn together: the captions of one picture are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.types.evaluate import Estimate

RESAMPLES: Final = 5000
LEVEL: Final = 0.95

Values = npt.NDArray[Any]


class Figure(Protocol):
    """Of (n,) values, each as often as (n,) ``weights`` (whole numbers, not all of them 0) say."""

    def __call__(self, values: Values, weights: Values, /) -> float: ...


def mean(values: Values, weights: Values) -> float:
    return float(weights @ values / weights.sum())


def median(values: Values, weights: Values) -> float:
    """The middle one of the sorted values, or the mean of the two in the middle."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    middle = np.array([(upto[-1] - 1) // 2, upto[-1] // 2])
    return float(values[order[np.searchsorted(upto, middle, side="right")]].mean())


def interval(
    values: Values,
    figure: Figure = mean,
    *,
    groups: Values | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """``figure`` of (n,) values with its interval. Values of one group are drawn together: ``groups`` (n,), from 0 on.

    Raises ValueError where there are no values.
    """
    values = np.asarray(values, np.float64)
    found = [figure(values, weights) for weights in _draws(len(values), groups, resamples, seed)]
    return _estimate(figure(values, np.ones(len(values), np.int64)), found, level)


def paired(
    a: Values,
    b: Values,
    figure: Figure = mean,
    *,
    groups: Values | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """``figure`` of ``b`` less that of ``a``, with its interval: (n,) values each, of the same n questions, which are
    drawn for both at once. An interval that does not hold 0 shows a difference.

    Raises ValueError where there are no values, or not as many of both.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"not of the same questions: {a.shape} and {b.shape}")
    whole = np.ones(len(a), np.int64)
    found = [figure(b, weights) - figure(a, weights) for weights in _draws(len(a), groups, resamples, seed)]
    return _estimate(figure(b, whole) - figure(a, whole), found, level)


def _draws(n: int, groups: Values | None, resamples: int, seed: int) -> Iterator[Values]:
    """Weights (n,) int64."""
    if n == 0:
        raise ValueError("no values")
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} values")
    units = n if groups is None else int(groups.max()) + 1
    generator = np.random.default_rng(seed)
    made = 0
    while made < resamples:
        weights = np.bincount(generator.integers(0, units, units), minlength=units)
        drawn = weights if groups is None else weights[groups]
        if drawn.any():  # else only groups without values came
            made += 1
            yield drawn


def _estimate(value: float, found: list[float], level: float) -> Estimate:
    if not 0 < level < 1:
        raise ValueError(f"no level: {level}")
    outside = 50 * (1 - level)
    low, high = np.percentile(found, [outside, 100 - outside])
    return Estimate(value, float(low), float(high))
