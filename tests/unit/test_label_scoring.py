"""Probabilities, in tiles, against the formula; and the numbers that make them honest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from imseek.labels import calibration, top_classes
from imseek.labels.logit_scale import Scale


def _unit(rng: np.random.Generator, n: int, dim: int = 32) -> np.ndarray:
    rows = rng.normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("multi", [False, True])
def test_tiles_give_what_the_formula_gives(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, k: int, multi: bool
) -> None:
    monkeypatch.setattr(top_classes, "TILE_ROWS", 7)
    monkeypatch.setattr(top_classes, "TILE_CLASSES", 6)
    rows, classes = _unit(rng, 40), _unit(rng, 20)
    offsets = rng.normal(size=20).astype(np.float32) / 10
    scale = Scale(30.0, -4.0, "test")
    numbers, shares = top_classes.find_top_classes(rows, classes, offsets, scale, k, multi=multi)
    logits = 30 * (rows.astype(np.float64) @ classes.T + offsets)
    expected = expit(logits - 4) if multi else softmax(logits, axis=1)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
    assert numbers.shape == (40, min(k, 20))
    assert np.array_equal(numbers, order)
    assert np.allclose(shares, np.take_along_axis(expected, order, axis=1), atol=1e-5)


def test_probabilities_do_not_overflow(rng: np.random.Generator) -> None:
    rows = _unit(rng, 5)
    numbers, shares = top_classes.find_top_classes(
        rows, rows, np.zeros(5, np.float32), Scale(1e4, None, "test"), 2, multi=False
    )
    assert numbers[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(shares, [[1, 0]] * 5)
    assert top_classes.sigmoid(np.float32([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def _labelled(rng: np.random.Generator, factor: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    cosines = rng.uniform(-0.2, 0.3, (n, 6)).astype(np.float32)
    shares = softmax(factor * cosines.astype(np.float64), axis=1)
    return cosines, np.array([rng.choice(6, p=share) for share in shares])


@pytest.mark.parametrize("factor", [5.0, 20.0, 60.0])
def test_the_number_that_made_the_labels_is_found(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    monkeypatch.setattr(calibration, "_TILE", 100)
    cosines, truth = _labelled(rng, factor)
    found = calibration.fit_factor(cosines, truth)
    assert found == pytest.approx(factor, rel=0.1)
    least = calibration.softmax_nll(cosines, truth, found).mean()
    for other in (0.9, 1.1):
        assert calibration.softmax_nll(cosines, truth, other * found).mean() > least


def test_where_all_is_right_or_all_is_wrong_there_is_no_best_number() -> None:
    cosines = np.eye(4, dtype=np.float32)
    assert calibration.fit_factor(cosines, np.arange(4)) == pytest.approx(calibration.HIGHEST, rel=1e-3)
    assert calibration.fit_factor(cosines, (np.arange(4) + 1) % 4) == pytest.approx(calibration.LOWEST, rel=1e-3)


def test_the_sigmoid_is_that_of_logistic_regression(rng: np.random.Generator) -> None:
    cosines, truth = _labelled(rng, 20.0)
    scale, bias = calibration.fit_sigmoid(cosines, truth)
    y = np.zeros(cosines.shape, int)
    y[np.arange(len(y)), truth] = 1
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(cosines.reshape(-1, 1), y.ravel())
    assert scale == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert bias == pytest.approx(theirs.intercept_[0], rel=0.01)
    least = calibration.sigmoid_nll(cosines, truth, scale, bias)
    assert calibration.sigmoid_nll(cosines, truth, scale * 1.2, bias) > least
    assert calibration.sigmoid_nll(cosines, truth, scale, bias + 0.3) > least
