"""Calibrate probabilities by one number learned from images of known class.

Temperature scaling (Guo et al. 2017, section 4.2) chooses the factor on cosines that minimises the mean negative
log-likelihood of the true classes. It is convex, so its slope has a single zero. For a sigmoid, scale and bias come
from logistic regression (Platt 1999) by Newton's method. Neither changes the order of classes.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.labels.top_classes import sigmoid
from imseek.types.arrays import Float32

#: Bounds of the factor.
LOWEST: Final = 0.01
HIGHEST: Final = 10_000.0
_STEPS: Final = 60
#: Cosines in memory at once, as float64.
_TILE: Final = 2**22
#: Regularisation that keeps the scale finite where classes are separable.
_RIDGE: Final = 1e-6

Float64 = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def fit_factor(cosines: Float32, truth: Numbers) -> float:
    """Find the best factor for (n, classes) cosines (with offsets) and (n,) true classes; a bound where there is no
    optimum."""
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _slope(cosines, truth, math.exp(middle)) > 0:
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)


def softmax_nll(cosines: Float32, truth: Numbers, factor: float) -> Float64:
    """Negative log-likelihood of each true class (n,), by softmax."""
    losses = np.empty(len(truth))
    for part in _row_slices(cosines):
        logits = factor * cosines[part].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits).sum(axis=1))
        losses[part] = total - logits[np.arange(len(logits)), truth[part]]
    return losses


def fit_sigmoid(cosines: Float32, truth: Numbers) -> tuple[float, float]:
    """Find scale and bias so that ``sigmoid(scale · cosine + bias)`` is the probability that an image is of a class."""
    weights = np.zeros(2)
    penalty = np.diag([_RIDGE, 0.0])
    for _ in range(_STEPS):
        gradient, curvature = penalty @ weights, penalty.copy()
        for part in _row_slices(cosines):
            x = cosines[part].astype(np.float64)
            y = np.zeros_like(x)
            y[np.arange(len(x)), truth[part]] = 1
            p = sigmoid((weights[0] * x + weights[1]).astype(np.float32)).astype(np.float64)
            error, spread = (p - y) / cosines.size, p * (1 - p) / cosines.size
            gradient += [float((error * x).sum()), float(error.sum())]
            cross = float((spread * x).sum())
            curvature += [[float((spread * x * x).sum()), cross], [cross, float(spread.sum())]]
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        size = float(np.abs(step).max())
        weights -= step if size < 50 else step * (50 / size)
        if size < 1e-6:
            break
    return float(weights[0]), float(weights[1])


def sigmoid_nll(cosines: Float32, truth: Numbers, scale: float, bias: float) -> float:
    """Mean negative log-likelihood over all (image, class) pairs, by sigmoid."""
    total = 0.0
    for part in _row_slices(cosines):
        logits = scale * cosines[part].astype(np.float64) + bias
        total += float(np.logaddexp(0, logits).sum())
        total -= float(logits[np.arange(len(logits)), truth[part]].sum())
    return total / cosines.size


def _slope(cosines: Float32, truth: Numbers, factor: float) -> float:
    """Derivative of the mean negative log-likelihood by the factor: the expected cosine minus that of the true
    class."""
    total = 0.0
    for part in _row_slices(cosines):
        block = cosines[part].astype(np.float64)
        powers = np.exp(factor * (block - block.max(axis=1, keepdims=True)))
        expected = (powers * block).sum(axis=1) / powers.sum(axis=1)
        total += float((expected - block[np.arange(len(block)), truth[part]]).sum())
    return total / len(truth)


def _row_slices(cosines: Float32) -> list[slice]:
    rows = max(1, _TILE // max(1, cosines.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(cosines), rows)]
