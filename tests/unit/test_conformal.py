"""Thresholds that keep a promise: by brute force, and on average over draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.conformal import LossCurve

RELEVANCE = st.lists(
    st.lists(st.integers(-5, 5) | st.just(-math.inf), min_size=1, max_size=4), min_size=1, max_size=12
).map(lambda queries: [np.array(one, np.float64) for one in queries])


def loss_of(queries: list[np.ndarray], threshold: float) -> float:
    return float(np.mean([(one < threshold).mean() for one in queries]))


@given(RELEVANCE, st.floats(0.01, 0.99))
def test_the_threshold_is_the_highest_that_keeps_the_promise(queries: list[np.ndarray], promise: float) -> None:
    n, curve = len(queries), LossCurve.of(queries)
    values = np.unique(np.concatenate(queries))
    kept = [v for v in values if n / (n + 1) * loss_of(queries, v) + 1 / (n + 1) <= promise + 1e-12 and v > -math.inf]
    assert curve.threshold(promise) == (max(kept) if kept else None)
    for value in values:
        assert curve.loss(value) == pytest.approx(loss_of(queries, value))


def test_few_queries_promise_little() -> None:
    curve = LossCurve.of([np.array([float(n)]) for n in range(9)])
    assert curve.threshold(0.099) is None
    assert curve.threshold(0.1) == 0.0
    assert curve.threshold(0.2) == 1.0


def test_no_query_promises_anything() -> None:
    assert LossCurve.of([]).threshold(0.5) is None


def test_images_that_no_list_has_are_lost_at_any_threshold() -> None:
    curve = LossCurve.of([np.array([-math.inf, 1.0])] * 99)
    assert curve.threshold(0.4) is None
    assert curve.threshold(0.6) == 1.0


@pytest.mark.parametrize("promise", [0.05, 0.1, 0.3])
def test_on_average_the_next_query_loses_what_was_promised(promise: float) -> None:
    """Theorems 1 and 2: between the promise less 2 / (n + 1), and the promise. The scores are skewed."""
    rng, n, losses = np.random.default_rng(0), 100, []
    for _ in range(400):
        drawn = [rng.exponential(size=rng.integers(1, 6)) * rng.lognormal() for _ in range(2 * n)]
        threshold = LossCurve.of(drawn[:n]).threshold(promise)
        assert threshold is not None
        losses.append(loss_of(drawn[n:], threshold))
    error = 3 * float(np.std(losses)) / math.sqrt(len(losses))
    assert promise - 2 / (n + 1) - error <= np.mean(losses) <= promise + error


@pytest.mark.parametrize(
    ("relevance", "weights", "is_sound"),
    [
        ([-np.inf, -np.inf, 1.0, 2.0], [0.25, 0.25, 0.25, 0.25], True),
        ([], [], True),
        ([2.0, 1.0], [0.5, 0.5], False),
        ([np.nan], [1.0], False),
        ([np.nan, 1.0], [0.5, 0.5], False),
        ([1.0, 2.0], [1.0], False),
        ([1.0, 2.0], [0.5, -0.5], False),
        ([[1.0, 2.0]], [[0.5, 0.5]], False),
    ],
)
def test_a_curve_from_elsewhere_is_checked(relevance: list[float], weights: list[float], is_sound: bool) -> None:
    assert LossCurve(2, np.array(relevance), np.array(weights)).is_sound is is_sound
