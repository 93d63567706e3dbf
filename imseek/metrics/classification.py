"""Classification metrics: ranks of true classes, accuracy per class, mistakes, calibration.

Classes are numbered from 0. All functions are pure and need no more memory than their arguments and results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import UsageError

#: As in Guo et al. 2017, "On Calibration of Modern Neural Networks".
BINS: Final = 15

_Numbers = npt.NDArray[Any]
_Float64 = npt.NDArray[np.float64]
_Int64 = npt.NDArray[np.int64]


def ranks(scores: _Numbers, truth: _Numbers) -> _Int64:
    """Rank of the true class, from 1: (n, classes) scores and (n,) true classes → (n,).

    Ties count against the true class, so that constant scores are never right.
    """
    true_scores = np.take_along_axis(scores, np.asarray(truth)[:, None], axis=1)
    positions: _Int64 = (scores >= true_scores).sum(axis=1, dtype=np.int64)
    return positions


def per_class_accuracy(truth: _Numbers, predicted: _Numbers, classes: int) -> _Float64:
    """Recall of each class (classes,); NaN for a class without images.

    ``predicted`` may contain -1 (none of the classes), which is never right.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    total = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    share: _Float64 = np.divide(hits, total, out=np.full(classes, np.nan), where=total > 0)
    return share


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """A mistake: ``count`` items of class ``truth`` were predicted as ``predicted`` (-1: none)."""

    truth: int
    predicted: int
    count: int


def confusions(truth: _Numbers, predicted: _Numbers, limit: int | None = None) -> tuple[ConfusedPair, ...]:
    """List mistakes by frequency, ties by class; at most ``limit``."""
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    wrong = truth != predicted
    pairs, counts = np.unique(np.stack([truth[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:limit]
    return tuple(ConfusedPair(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order)


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions with confidence in (``low``, ``high``]: their number, mean confidence, and accuracy.

    Both means are NaN for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(confidence: _Numbers, correct: _Numbers, bins: int = BINS) -> tuple[Bin, ...]:
    """Group (n,) confidences in [0, 1] with (n,) correctness into bins of equal width.

    Raises UsageError for a confidence outside [0, 1].
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if not np.all((confidence >= 0) & (confidence <= 1)):  # NaN too
        raise UsageError("a confidence is a number from 0 to 1")
    edges = np.linspace(0, 1, bins + 1)
    at = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins)
    is_filled = counts > 0
    confidences, accuracies = (
        np.divide(np.bincount(at, values, bins), counts, out=np.full(bins, np.nan), where=is_filled)
        for values in (confidence, correct)
    )
    return tuple(
        Bin(float(edges[i]), float(edges[i + 1]), int(counts[i]), float(confidences[i]), float(accuracies[i]))
        for i in range(bins)
    )


def expected_calibration_error(confidence: _Numbers, correct: _Numbers, bins: int = BINS) -> float:
    """Expected calibration error: Σ |Bₘ|/n · |acc(Bₘ) − conf(Bₘ)| (Guo et al. 2017, eq. 3).

    Takes (n,) confidences of the predictions and (n,) whether each was right. NaN without any.
    """
    return calibration_error_of(reliability(confidence, correct, bins))


def calibration_error_of(bins: Sequence[Bin]) -> float:
    """Expected calibration error of bins; NaN where all are empty."""
    total = sum(bin_.count for bin_ in bins)
    if not total:
        return float("nan")
    return sum(bin_.count * abs(bin_.accuracy - bin_.confidence) for bin_ in bins if bin_.count) / total
