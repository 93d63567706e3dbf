"""Evaluate zero-shot labels against known classes, and learn a temperature that calibrates them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.labels import calibration, top_classes
from imseek.labels.ground_truth import Truth
from imseek.labels.logit_scale import Scale
from imseek.labels.recipe import Recipe
from imseek.labels.results import Calibration, ClassAccuracy, Confusion, LabelEvaluation
from imseek.labels.zero_shot import ClassVectors, LabelContext
from imseek.metrics import bootstrap, classification
from imseek.metrics.estimate import Estimate
from imseek.types.arrays import Float32

#: Cosines in memory at once: 32 MiB.
_TILE: Final = 2**23
#: Maximum cosines for learning a temperature: 128 MiB; larger sets are sampled.
_MAX_COSINES: Final = 2**25
#: With fewer images, none are held out.
_MIN_TO_HOLD_OUT: Final = 20
#: Bootstrap resamples, and the number of images above which there are fewer.
_RESAMPLES: Final = 5000
_MANY: Final = 20_000


def evaluate(
    vectors: Vectors,
    truth: Truth,
    origin: str,
    recipe: Recipe,
    scale: Scale,
    encoded_classes: ClassVectors,
    context: LabelContext,
) -> LabelEvaluation:
    """Evaluate labels on the images of ``truth``; ``origin`` describes its origin."""
    n, classes = len(truth.ids), len(truth.classes)
    ranks = np.empty(n, np.int64)
    predicted = np.empty(n, np.int64)
    confidence = np.empty(n, np.float32)
    nll = np.empty(n, np.float64)
    for part in _row_slices(n, len(encoded_classes.rows)):
        context.task.check()
        cosines = _cosines(vectors, truth.ids[part], encoded_classes)
        numbers = truth.numbers[part]
        ranks[part] = classification.ranks(cosines, numbers)
        best = cosines.argmax(axis=1)
        predicted[part] = np.where(best < classes, best, -1)
        if recipe.multi:
            bias = float(scale.bias or 0)
            confidence[part] = top_classes.sigmoid(np.float32(scale.factor) * cosines.max(axis=1) + np.float32(bias))
            nll[part] = calibration.sigmoid_nll(cosines, numbers, scale.factor, bias)
        else:
            nll[part] = calibration.softmax_nll(cosines, numbers, scale.factor)
            confidence[part] = _confidence(cosines, scale.factor)
    is_right = predicted == truth.numbers
    class_accuracy = classification.per_class_accuracy(truth.numbers, predicted, classes)
    names = truth.classes.names
    counts = np.bincount(truth.numbers, minlength=classes)
    return LabelEvaluation(
        images=n,
        classes=names,
        truth=origin,
        top1=_interval(ranks <= 1),
        top5=_interval(ranks <= 5),
        mean_per_class=_per_class_interval(is_right, truth.numbers, classes),
        ece=classification.expected_calibration_error(np.clip(confidence, 0, 1), is_right),
        nll=float(nll.mean()),
        per_class=tuple(
            ClassAccuracy(names[i], int(counts[i]), float(class_accuracy[i])) for i in range(classes) if counts[i]
        ),
        confusions=tuple(
            Confusion(names[one.truth], None if one.predicted < 0 else names[one.predicted], one.count)
            for one in classification.confusions(truth.numbers, predicted)
        ),
        factor=scale.factor,
        factor_source=scale.source,
        encoder=vectors.space.encoder,
        generation=vectors.reader.generation,
        notes=tuple(_notes(truth)),
    )


def learn_temperature(
    name: str,
    vectors: Vectors,
    truth: Truth,
    recipe: Recipe,
    scale: Scale,
    encoded_classes: ClassVectors,
    context: LabelContext,
) -> Calibration:
    """Learn a temperature on half of the images and test it on the rest; with few images, both use all of them.

    Raises UsageError for images of one class only, and where cosines carry no information.
    """
    if len(np.unique(truth.numbers)) < 2:
        raise UsageError("a temperature is learned from images of two classes at least")
    n = min(len(truth.ids), max(2, _MAX_COSINES // len(encoded_classes.rows)))
    order = np.random.default_rng(0).permutation(len(truth.ids))[:n]
    held_out = n >= _MIN_TO_HOLD_OUT
    halves = (order[: n // 2], order[n // 2 :]) if held_out else (order, order)
    (fit_cosines, fit_truth), (test_cosines, test_truth) = (
        (_cosines(vectors, truth.ids[part], encoded_classes), truth.numbers[part]) for part in map(np.sort, halves)
    )
    context.task.check()
    bias: float | None = None
    notes = []
    before, after = scale, scale
    if recipe.multi:
        factor, bias = calibration.fit_sigmoid(fit_cosines, fit_truth)
        if factor <= 0:
            raise UsageError(
                "on these images the classes' cosines say nothing of what is in them",
                hint="other words for the classes, other --templates, or another encoder",
            )
        after = Scale(factor, bias, "", scale.flat)
    else:
        factor = calibration.fit_factor(fit_cosines, fit_truth)
        after = Scale(factor, None, "", scale.flat)
    if not 1.01 * calibration.LOWEST < factor < 0.99 * calibration.HIGHEST:
        notes.append("no number is best: all of these images, or none, are labelled right; take more of them")
    if not held_out:
        notes.append(f"too few images to hold any out: the figures are of the {n} that it was learned from")
    has_before = not recipe.multi or before.bias is not None
    nan = float("nan")
    return Calibration(
        name=name,
        factor=factor,
        bias=bias,
        images=len(fit_cosines),
        held_out=held_out,
        nll_before=_mean_nll(test_cosines, test_truth, before, recipe) if has_before else nan,
        nll_after=_mean_nll(test_cosines, test_truth, after, recipe),
        ece_before=_calibration_error(test_cosines, test_truth, before, recipe) if has_before else nan,
        ece_after=_calibration_error(test_cosines, test_truth, after, recipe),
        generation=vectors.reader.generation,
        notes=tuple(notes),
    )


def _cosines(vectors: Vectors, ids: Ids, encoded_classes: ClassVectors) -> Float32:
    """Cosines with offsets (m, classes)."""
    cosines: Float32 = vectors.of(ids) @ encoded_classes.rows.T
    cosines += encoded_classes.offsets
    return cosines


def _confidence(cosines: Float32, factor: float) -> Float32:
    """Softmax probability of the best class."""
    logits = np.float32(factor) * (cosines - cosines.max(axis=1, keepdims=True))
    probabilities: Float32 = 1 / np.exp(logits).sum(axis=1)
    return probabilities


def _mean_nll(cosines: Float32, truth: Ids, scale: Scale, recipe: Recipe) -> float:
    if recipe.multi:
        return calibration.sigmoid_nll(cosines, truth, scale.factor, float(scale.bias or 0))
    return float(calibration.softmax_nll(cosines, truth, scale.factor).mean())


def _calibration_error(cosines: Float32, truth: Ids, scale: Scale, recipe: Recipe) -> float:
    """Expected calibration error of the best class, or (``multi``) of all pairs of image and class."""
    if recipe.multi:
        probabilities = top_classes.sigmoid(np.float32(scale.factor) * cosines + np.float32(scale.bias or 0))
        is_right = np.zeros(cosines.shape, np.bool_)
        is_right[np.arange(len(truth)), truth] = True
        return classification.expected_calibration_error(np.clip(probabilities, 0, 1).ravel(), is_right.ravel())
    is_right = cosines.argmax(axis=1) == truth
    return classification.expected_calibration_error(np.clip(_confidence(cosines, scale.factor), 0, 1), is_right)


def _row_slices(n: int, classes: int) -> list[slice]:
    rows = max(1, _TILE // max(1, classes))
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def _interval(is_right: npt.NDArray[np.bool_]) -> Estimate:
    return bootstrap.interval(is_right.astype(np.float64), resamples=_resample_count(len(is_right)))


def _per_class_interval(is_right: npt.NDArray[np.bool_], truth: Ids, classes: int) -> Estimate:
    """Mean accuracy over the classes present in each resample."""

    def figure(values: npt.NDArray[np.float64], weights: npt.NDArray[np.int64]) -> float:
        total = np.bincount(truth, weights, classes)
        hits = np.bincount(truth, weights * values, classes)
        return float((hits[total > 0] / total[total > 0]).mean())

    return bootstrap.interval(is_right.astype(np.float64), figure, resamples=_resample_count(len(is_right)))


def _resample_count(n: int) -> int:
    return _RESAMPLES if n <= _MANY else 500


def _notes(truth: Truth) -> list[str]:
    notes = []
    if truth.several:
        notes.append(f"left out: {truth.several:,} images that have more than one of the classes")
    if truth.other:
        notes.append(f"left out: {truth.other:,} images that have something else than these classes")
    return notes
