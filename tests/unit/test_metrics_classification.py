"""Figures of labels, against values worked out by hand and scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from imseek.errors import UsageError
from imseek.metrics import classification as c


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 7, 300)


def test_ranks_by_hand() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1], [0.4, 0.5, 0.6]])
    found = c.ranks(scores, np.array([1, 1, 0]))
    assert found.tolist() == [1, 2, 3]


def test_equal_scores_are_never_right() -> None:
    assert c.ranks(np.zeros((2, 4)), np.array([0, 3])).tolist() == [4, 4]


def test_top_k_is_that_of_scikit_learn(scores: np.ndarray, truth: np.ndarray) -> None:
    for k in (1, 3, 5):
        theirs = metrics.top_k_accuracy_score(truth, scores, k=k, labels=np.arange(7))
        assert np.mean(c.ranks(scores, truth) <= k) == pytest.approx(theirs)


def test_accuracy_per_class_and_confusion_are_those_of_scikit_learn(scores: np.ndarray, truth: np.ndarray) -> None:
    predicted = scores.argmax(axis=1)
    table = metrics.confusion_matrix(truth, predicted)
    assert np.mean(c.per_class_accuracy(truth, predicted, 7)) == pytest.approx(
        metrics.balanced_accuracy_score(truth, predicted)
    )
    mistakes = c.confusions(truth, predicted)
    assert all(table[one.truth, one.predicted] == one.count for one in mistakes)
    assert sum(one.count for one in mistakes) == int((truth != predicted).sum())
    assert [one.count for one in mistakes] == sorted((one.count for one in mistakes), reverse=True)
    assert c.confusions(truth, predicted, 2) == mistakes[:2]


def test_none_of_the_classes_is_a_mistake_of_its_own() -> None:
    truth, predicted = np.array([0, 0, 2]), np.array([0, -1, -1])
    assert c.confusions(truth, predicted) == (c.ConfusedPair(0, -1, 1), c.ConfusedPair(2, -1, 1))
    each = c.per_class_accuracy(truth, predicted, 3)
    assert each[0] == 0.5
    assert np.isnan(each[1])
    assert each[2] == 0


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0, 0.0])
    correct = np.array([1, 1, 1, 0, 1, 0, 1, 0])
    # Of ten bins: (0.9, 1.0] holds five, mean 0.96, four right; (0.5, 0.6] two, one right; [0, 0.1] one, wrong.
    expected = 5 / 8 * abs(0.8 - 0.96) + 2 / 8 * abs(0.5 - 0.55)
    assert c.expected_calibration_error(confidence, correct, 10) == pytest.approx(expected)
    bins = c.reliability(confidence, correct, 10)
    assert [one.count for one in bins] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 5]
    assert math.isnan(bins[1].accuracy)


def test_what_says_how_sure_it_is_has_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.random(200_000)
    correct = rng.random(200_000) < confidence
    assert c.expected_calibration_error(confidence, correct) < 0.01
    assert c.expected_calibration_error(np.ones(200_000), correct) == pytest.approx(0.5, abs=0.01)
    assert math.isnan(c.expected_calibration_error(confidence[:0], correct[:0]))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_a_confidence_that_is_no_probability(wrong: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        c.expected_calibration_error(np.array([0.5, wrong]), np.array([True, False]))
