"""Choose between probes, and their settings, by cross-validation over labelled images.

Images of one group (:mod:`imseek.probes.holdout_groups`) are held out together. Each class is distributed over
the folds separately: of two images of a class, one always remains for training. A class with a single group is never
held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.metrics import bootstrap
from imseek.metrics.estimate import Estimate
from imseek.probes import cache_model, calibration, linear
from imseek.probes.cache_model import CacheModel
from imseek.probes.labels import Targets
from imseek.probes.linear import Linear
from imseek.probes.prompt_learning import JUDGED_ROWS, PicturePrompts, PromptLearner
from imseek.probes.results import ProbeMethod
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

PHASE: Final = "learning"
FOLDS: Final = 5
#: Kinds of probe that are tried unless one is named.
DEFAULT_METHODS: Final = ("linear", "cache")
#: Repeated random folds as (images at most, repetitions): with few images, one draw says little.
_DRAWS: Final = ((100, 5), (500, 3))
#: Settings are chosen on a sample of this size, stratified by class; the final model learns from all images.
MAX_VALIDATED: Final = 4000
#: Settings used where nothing can be held out. They did well on half A of the stamps of bench/probes.py, with one and
#: two images per class.
DEFAULT_STRENGTH: Final = 0.1
DEFAULT_SHARPNESS: Final = 4.0
DEFAULT_WORD_WEIGHT: Final = 3.0

#: Sample size for the mean vector of a collection.
MAX_CENTRE_SAMPLE: Final = 20_000
_MIN_LENGTH: Final = 1e-6

Settings: TypeAlias = Mapping[str, float]


class Scorer(Protocol):
    """Anything that computes class logits."""

    name: ClassVar[ProbeMethod]

    def logits(self, rows: Float32) -> Float32: ...
    def arrays(self) -> dict[str, npt.NDArray[Any]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """A kind of probe with its best settings and cross-validated scores, None where nothing could be held out.

    ``ece`` is that of probabilities whose temperature was fitted on the other folds.
    """

    method: str
    settings: Settings
    temperature: float
    accuracy: Estimate | None = None
    log_loss: float | None = None
    ece: float | None = None
    tested: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class SelectedModel:
    """The selected model, trained on all images, and the validation results of each kind."""

    scorer: Scorer
    results: tuple[ValidationResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> ValidationResult:
        """The validation result of the selected kind."""
        return next(one for one in self.results if one.method == self.scorer.name)


def centre_of(vectors: Vectors) -> Float32:
    """Mean vector (dim,) of a collection, from an evenly spaced sample."""
    at = np.unique(np.linspace(0, max(0, len(vectors) - 1), min(len(vectors), MAX_CENTRE_SAMPLE)).astype(np.int64))
    total = np.zeros(vectors.dim)
    for start in range(0, len(at), BLOCK):
        total += vectors.at(at[start : start + BLOCK]).sum(axis=0, dtype=np.float64)
    return (total / max(1, len(at))).astype(np.float32)


def centre_rows(rows: Float32, centre: Float32) -> Float32:
    """Subtract ``centre`` from (m, dim) unit rows and normalise again (Wang et al. 2019, SimpleShot's CL2N).

    What all images have in common distinguishes none. A row practically equal to the centre becomes zeros.
    """
    shifted = rows - centre
    lengths = np.linalg.norm(shifted, axis=1, keepdims=True)
    unit: Float32 = np.divide(shifted, lengths, out=np.zeros_like(shifted), where=lengths > _MIN_LENGTH)
    return unit


def select_model(
    rows: Float32,
    targets: Targets,
    classes: int,
    groups: Ids,
    words: Float32 | None = None,
    *,
    even: bool = False,
    seed: int = 0,
    methods: Sequence[str] = DEFAULT_METHODS,
    learners: Sequence[PromptLearner] = (),
    task: Task = SILENT,
) -> SelectedModel:
    """Select a probe of ``methods`` or ``learners`` by cross-validation, and train it on all n images.

    ``rows`` (n, dim) and ``words`` (classes, dim), the class names, are :func:`centre_rows`. Deterministic. ``even``:
    classes are weighted equally whatever their size; ignored where an image may have several. Raises UsageError where
    prompts are to be learned and nothing can be held out.
    """
    even = even and targets.ndim == 1
    holdable, number = _find_holdable(targets, classes, groups)
    notes: tuple[str, ...] = ()
    if len(number) < 1 + (targets.ndim == 1):
        if learners:
            raise UsageError(
                "too few classes have two different images: nothing could be held out, so nothing would show that "
                "prompts help",
                hint="label two images or more of each class, or leave out --method",
            )
        notes = ("too few classes have two different images: nothing could be held out, and nothing was measured",)
        sample = rows[stratified_sample(targets, MAX_VALIDATED, seed)]
        pivot = cache_model.pivot_of(sample @ sample.T)
        cache_defaults = {
            "sharpness": DEFAULT_SHARPNESS,
            "weight": 0.0 if words is None else DEFAULT_WORD_WEIGHT,
            "pivot": pivot,
        }
        defaults = {"cache": cache_defaults, "linear": {"strength": DEFAULT_STRENGTH}}
        results = tuple(ValidationResult(one, found, 1.0) for one, found in defaults.items() if one in methods)
    else:
        sampled = holdable[stratified_sample(targets[holdable], MAX_VALIDATED, seed)]
        numbers = targets[sampled] if targets.ndim == 2 else np.searchsorted(number, targets[sampled])
        word_rows = None if words is None else words[number]
        folds = list(_iter_fold_draws(numbers, groups[sampled], seed))
        if learners:
            folds = folds[:1]  # The same for all methods, since learning prompts takes its time.
        results = ()
        if "linear" in methods:
            results += (_select_linear(rows[sampled], numbers, len(number), groups[sampled], folds, even, task),)
        if "cache" in methods:
            cosines = rows[sampled] @ rows[sampled].T
            results += (
                _select_cache(cosines, rows[sampled], numbers, len(number), groups[sampled], folds, word_rows, even),
            )
        for one in learners:
            results += (_select_prompts(one, rows[sampled], numbers, number, groups[sampled], folds, even, seed, task),)
    best = min(results, key=lambda one: one.log_loss or 0.0)
    learner = next((one for one in learners if one.method == best.method), None)
    if learner is None:
        return SelectedModel(fit_model(best, rows, targets, classes, words, even, seed), results, notes)
    shares = _shares(targets, even)[None]
    steps = [int(best.settings["steps"])]
    (_, (scorer,)), *_ = learner.learn(rows, targets, np.arange(classes), shares, seed, steps=steps, task=task)
    return SelectedModel(scorer, results, notes)


def _shares(targets: Targets, even: bool) -> npt.NDArray[np.float64]:
    """Return how much each image counts (n,)."""
    shares: npt.NDArray[np.float64] = 1 / np.bincount(targets)[targets] if even else np.ones(len(targets))
    return shares


def _find_holdable(targets: Targets, classes: int, groups: Ids) -> tuple[Ids, Ids]:
    """Return positions of the images, and the classes, that can be held out: classes with at least two groups.

    Other classes could only be wrong answers, and settings that never predict them would be favoured.
    """
    if targets.ndim == 2:
        kinds = strata(targets)
        pairs = np.unique(np.stack([kinds, groups]), axis=1)[0]
        is_holdable = np.bincount(pairs).max(initial=0) > 1
        return np.arange(len(targets)), np.arange(classes) if is_holdable else np.empty(0, np.int64)
    pairs = np.unique(np.stack([targets, groups]), axis=1)[0]
    number = np.flatnonzero(np.bincount(pairs, minlength=classes) > 1)
    return np.flatnonzero(np.isin(targets, number)), number


def fit_model(
    best: ValidationResult,
    rows: Float32,
    targets: Targets,
    classes: int,
    words: Float32 | None,
    even: bool,
    seed: int,
) -> Linear | CacheModel:
    """Train the chosen kind on all images."""
    if best.method == "linear":
        (probe,) = linear.fit(rows, targets, classes, [best.settings["strength"]], even=even)
        return probe
    keys = stratified_sample(targets, cache_model.MAX_KEYS, seed, evenly=True)
    return cache_model.build_cache_model(rows[keys], targets[keys], classes, words, **best.settings)


@dataclass(slots=True, eq=False)
class _HeldOutLogits:
    """Predictions of one setting for held-out images: logits and targets, with the image, fold and weight of each
    row."""

    logits: npt.NDArray[Any]
    targets: Targets
    image: Ids
    fold: Ids
    weights: npt.NDArray[np.float64]

    def loss(self) -> float:
        """Log loss at the best temperature, by which settings are chosen.

        Accuracy is coarse with few held-out images, and flatters the best of many settings.
        """
        temperature = calibration.temperature_of(self.logits, self.targets, self.weights)
        losses = calibration.losses(self.logits, self.targets, temperature)
        return float(np.average(losses, weights=self.weights))

    def validate(self, method: str, settings: Settings, groups: Ids) -> ValidationResult:
        """Compute the validation result of this setting."""
        temperature = calibration.temperature_of(self.logits, self.targets, self.weights)
        chances = np.empty(self.logits.shape, np.float32)
        for fold in np.unique(self.fold):
            is_held_out = self.fold == fold
            # With a single fold, use its own.
            is_fitted = ~is_held_out if (~is_held_out).any() else is_held_out
            fold_temperature = calibration.temperature_of(
                self.logits[is_fitted], self.targets[is_fitted], self.weights[is_fitted]
            )
            chances[is_held_out] = calibration.probabilities(
                self.logits[is_held_out], fold_temperature, self.targets.ndim == 2
            )
        group_numbers = np.unique(groups[self.image], return_inverse=True)[1]
        is_right = calibration.correctness(self.logits, self.targets)
        return ValidationResult(
            method,
            settings,
            temperature,
            bootstrap.interval(is_right, groups=group_numbers, resamples=1000),
            self.loss(),
            calibration.calibration_error(chances, self.targets),
            len(np.unique(self.image)),
        )


def _select_linear(
    rows: Float32,
    targets: Targets,
    classes: int,
    groups: Ids,
    folds: list[Ids],
    even: bool,
    task: Task,
) -> ValidationResult:
    parts: list[list[npt.NDArray[Any]]] = [[] for _ in linear.STRENGTHS]
    splits = list(_iter_splits(folds))
    for number, (learned, tested) in enumerate(splits):
        task.step(PHASE, number, len(splits))
        probes = linear.fit(rows[learned], targets[learned], classes, linear.STRENGTHS, even=even)
        for logits, probe in zip(parts, probes, strict=True):
            logits.append(probe.logits(rows[tested]))
    candidates = [_collect_held_out(logits, targets, splits, even) for logits in parts]
    best = int(np.argmin([one.loss() for one in candidates]))
    return candidates[best].validate("linear", {"strength": linear.STRENGTHS[best]}, groups)


def _select_cache(
    cosines: Float32,
    rows: Float32,
    targets: Targets,
    classes: int,
    groups: Ids,
    folds: list[Ids],
    words: Float32 | None,
    even: bool,
) -> ValidationResult:
    pivot = cache_model.pivot_of(cosines)
    word_logits = None if words is None else rows @ words.T
    splits = list(_iter_splits(folds))
    values = [cache_model.class_shares(targets[learned], classes) for learned, _ in splits]
    best: tuple[float, _HeldOutLogits, Settings] | None = None
    for sharpness in cache_model.SHARPNESSES:
        weights = cache_model.affinities(cosines, sharpness, pivot)
        image_logits = [
            weights[np.ix_(tested, learned)] @ value for (learned, tested), value in zip(splits, values, strict=True)
        ]
        for weight in cache_model.WORD_WEIGHTS if word_logits is not None else (0.0,):
            parts = image_logits
            if word_logits is not None and weight:
                parts = [
                    one + np.float32(weight) * word_logits[tested]
                    for one, (_, tested) in zip(image_logits, splits, strict=True)
                ]
            candidate = _collect_held_out(parts, targets, splits, even)
            loss = candidate.loss()
            if best is None or loss < best[0]:
                best = loss, candidate, {"sharpness": sharpness, "weight": weight, "pivot": pivot}
    assert best is not None
    return best[1].validate("cache", best[2], groups)


def _select_prompts(
    learner: PromptLearner,
    rows: Float32,
    targets: Targets,
    classes: Ids,
    groups: Ids,
    folds: list[Ids],
    even: bool,
    seed: int,
    task: Task,
) -> ValidationResult:
    splits = list(_iter_splits(folds))
    weights = np.zeros((len(splits), len(targets)))
    for one, (learned, _) in zip(weights, splits, strict=True):
        one[learned] = _shares(targets[learned], even)
    best: tuple[float, _HeldOutLogits, Settings] | None = None
    for settings, scorers in learner.learn(rows, targets, classes, weights, seed, task=task):
        parts: list[npt.NDArray[Any]] = []
        if isinstance(scorers[0], PicturePrompts):
            scorers[0].check_time(sum(len(tested) for _, tested in splits))
        for scorer, (_, tested) in zip(scorers, splits, strict=True):
            for start in range(0, len(tested), JUDGED_ROWS):
                task.check()
                parts.append(scorer.logits(rows[tested[start : start + JUDGED_ROWS]]))
        candidate = _collect_held_out(parts, targets, splits, even)
        loss = candidate.loss()
        if best is None or loss < best[0]:
            best = loss, candidate, settings
    assert best is not None
    return best[1].validate(learner.method, best[2], groups)


def _collect_held_out(
    parts: list[npt.NDArray[Any]], targets: Targets, splits: list[tuple[Ids, Ids]], even: bool
) -> _HeldOutLogits:
    image = np.concatenate([tested for _, tested in splits])
    fold = np.concatenate([np.full(len(tested), n) for n, (_, tested) in enumerate(splits)])
    truth = targets[image]
    return _HeldOutLogits(np.concatenate(parts), truth, image, fold, _shares(truth, even))


def _iter_splits(draws: list[Ids]) -> Iterator[tuple[Ids, Ids]]:
    """Yield the positions to train on, and those held out."""
    for fold in draws:
        for number in range(int(fold.max()) + 1):
            if (tested := np.flatnonzero(fold == number)).size:
                yield np.flatnonzero(fold != number), tested


def strata(targets: Targets) -> Ids:
    """Return one class for each image (n,): the rarest it has, or an extra class for none."""
    if targets.ndim == 1:
        return targets
    rare = np.where(targets, targets.sum(axis=0), len(targets) + 1)
    rarest: Ids = np.where(targets.any(axis=1), rare.argmin(axis=1), targets.shape[1]).astype(np.int64)
    return rarest


def assign_folds(targets: Targets, groups: Ids, folds: int, seed: int) -> Ids:
    """Return the fold in which each image is held out (n,), -1 for none where its class has no other group."""
    generator = np.random.default_rng(seed)
    kinds = strata(targets)
    _, first = np.unique(groups, return_index=True)
    of_group = kinds[first]
    fold = np.full(len(first), -1, np.int64)
    for kind in np.unique(of_group):
        members = generator.permutation(np.flatnonzero(of_group == kind))
        if len(members) > 1:
            # All classes start with the same fold: each loses equally many, so that holding out makes none rarer.
            fold[members] = np.arange(len(members)) % folds
    folds_of_images: Ids = fold[groups]
    return folds_of_images


def _iter_fold_draws(targets: Targets, groups: Ids, seed: int) -> Iterator[Ids]:
    """Yield several random assignments of folds."""
    groups = np.unique(groups, return_inverse=True)[1]
    times = next((times for most, times in _DRAWS if len(targets) <= most), 1)
    for n in range(times):
        yield assign_folds(targets, groups, FOLDS, seed + n)


def stratified_sample(targets: Targets, most: int, seed: int, *, evenly: bool = False) -> Ids:
    """Draw positions, ascending, of at most ``most`` images, stratified by class.

    Classes are represented by size, or (``evenly``) equally.
    """
    if len(targets) <= most:
        return np.arange(len(targets))
    kinds = strata(targets)
    order = np.random.default_rng(seed).permutation(len(targets))
    turn = np.empty(len(targets), np.float64)
    for kind in np.unique(kinds):
        members = order[kinds[order] == kind]
        turn[members] = np.arange(len(members)) / (1 if evenly else len(members))
    positions: Ids = np.sort(order[np.argsort(turn[order], kind="stable")][:most])
    return positions
