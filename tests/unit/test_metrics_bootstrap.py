"""Bootstrap intervals: against plain resampling, by coverage, and for values that belong together."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.metrics import bootstrap


@pytest.mark.parametrize(("figure", "plain"), [(bootstrap.mean, np.mean), (bootstrap.median, np.median)])
@pytest.mark.parametrize("n", [1, 2, 40, 333])
def test_equals_plain_resampling(figure: bootstrap.Statistic, plain: object, n: int) -> None:
    values = np.random.default_rng(1).integers(1, 50, n).astype(float)
    draws = np.random.default_rng(0).integers(0, n, (500, n))
    low, high = np.percentile(plain(values[draws], axis=1), [2.5, 97.5])  # type: ignore[operator]
    found = bootstrap.interval(values, figure, resamples=500)
    assert found.value == pytest.approx(plain(values))  # type: ignore[operator]
    assert (found.low, found.high) == pytest.approx((low, high))


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    inside = 0
    for seed in range(200):
        found = bootstrap.interval(generator.normal(3, 2, 100), resamples=300, seed=seed)
        inside += found.low <= 3 <= found.high
    assert 180 <= inside <= 199  # 190 expected, a little fewer with so few draws


def test_values_of_a_group_are_drawn_together() -> None:
    generator = np.random.default_rng(3)
    single = (generator.random(60) < 0.5).astype(float)
    copied = np.repeat(single, 5)
    groups = np.repeat(np.arange(60), 5)
    right, naive = bootstrap.interval(copied, groups=groups), bootstrap.interval(copied)
    assert (right.low, right.high) == pytest.approx((bootstrap.interval(single).low, bootstrap.interval(single).high))
    assert naive.high - naive.low < 0.6 * (right.high - right.low)  # five copies of a value are not five values


def test_pairs_are_drawn_together() -> None:
    generator = np.random.default_rng(4)
    a = (generator.random(400) < 0.5).astype(float)
    b = a.copy()
    b[np.flatnonzero(a == 0)[:20]] = 1  # better in 20 of 400, worse in none
    found = bootstrap.paired_interval(a, b)
    assert found.value == pytest.approx(0.05)
    assert 0.02 < found.low < found.value < found.high < 0.08
    same = bootstrap.paired_interval(a, a)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    back = bootstrap.paired_interval(b, a)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap.interval(np.empty(0))
    with pytest.raises(ValueError, match="same questions"):
        bootstrap.paired_interval(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="groups"):
        bootstrap.interval(np.ones(3), groups=np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="level"):
        bootstrap.interval(np.ones(3), level=95)
