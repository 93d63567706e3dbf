"""Evaluate a probe on images that it was not trained on, nor on copies of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.metrics import bootstrap, classification
from imseek.metrics.estimate import Estimate
from imseek.probes import calibration, holdout_groups, model_selection
from imseek.probes.labels import LabelledImages, Labels, Targets, read_labels
from imseek.probes.probe_store import Probe
from imseek.probes.results import ClassScore, CurvePoint, ProbeConfusion, ProbeEvaluation, ProbeMethod
from imseek.probes.training import check_classes, encode_class_names, limit_labelled
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

PHASE: Final = "evaluating"
#: Random draws for each point of a learning curve.
DRAWS: Final = 5
_RESAMPLES: Final = 1000
_CONFUSIONS: Final = 20

Numbers = npt.NDArray[Any]


def evaluate_probe(
    reader: Reader, vectors: Vectors, probe: Probe, truth: Labels, searchable: Ids, task: Task = SILENT
) -> ProbeEvaluation:
    """Evaluate a stored probe on images of known class. Raises UsageError where none is left, Cancelled."""
    labelled, unknown = _map_to_probe_classes(reader, probe, truth, searchable)
    labelled = limit_labelled(labelled)
    contents, hashes = holdout_groups.hashes_of(reader, labelled.ids)
    digests = np.frombuffer(b"".join(contents), np.dtype("<i8")).reshape(-1, 4)
    is_trained = np.isin(labelled.ids, probe.learned) | _rows_among(digests, probe.contents)
    present = probe.learned[vectors.positions(probe.learned) >= 0]
    if len(present) and not is_trained.all():
        untrained = np.flatnonzero(~is_trained)
        learned_contents, learned_hashes = holdout_groups.hashes_of(reader, present)
        is_copy = holdout_groups.find_copies(
            (learned_contents, learned_hashes, vectors.of(present)),
            ([contents[i] for i in untrained.tolist()], hashes[untrained], vectors.of(labelled.ids[untrained])),
        )
        is_trained[untrained[is_copy]] = True
    at = np.flatnonzero(~is_trained)
    if not len(at):
        raise UsageError(
            f"{probe.info.name} has learned from all {len(is_trained):,} images with a truth, or from copies of them",
            hint="label others, or leave out the name: then a part is held out and another probe learns from the rest",
        )
    tested = labelled.take(at)
    probe.check_time(len(tested))
    parts = []
    for start in range(0, len(tested), probe.block):
        task.check()
        parts.append(probe.logits(vectors.of(tested.ids[start : start + probe.block])))
    rows = np.concatenate(parts)
    groups = holdout_groups.group_copies([contents[i] for i in at.tolist()], hashes[at], vectors.of(tested.ids))
    info = probe.info
    scores = _score_logits(rows, tested.targets, groups, info.temperature, tested.classes, info.method)
    return replace(
        scores,
        probe=info.name,
        truth=truth.describe(),
        learned=len(probe.learned),
        left_out=int(is_trained.sum()),
        unknown=unknown,
        notes=labelled.notes,
    )


def evaluate_labels(
    reader: Reader,
    vectors: Vectors,
    labels: Labels,
    shots: Sequence[int],
    *,
    words: bool = True,
    seed: int = 0,
    task: Task = SILENT,
) -> ProbeEvaluation:
    """Train a probe on half of the labelled images and evaluate it on the rest; copies stay in one half.

    For each number in ``shots``, further probes are trained on that many images per class of the first half. Raises
    UsageError where there is nothing to distinguish, Cancelled.
    """
    labelled = limit_labelled(read_labels(reader, labels, vectors.ids), seed)
    check_classes(labelled)
    rows = vectors.of(labelled.ids)
    contents, hashes = holdout_groups.hashes_of(reader, labelled.ids)
    groups = holdout_groups.group_copies(contents, hashes, rows)
    half = model_selection.assign_folds(labelled.targets, groups, 2, seed)
    first, second = np.flatnonzero(half != 0), np.flatnonzero(half == 0)
    if not len(second):
        raise UsageError("no class has two different images: there is nothing to hold out", hint="label more images")
    centre = model_selection.centre_of(vectors)
    word_vectors, notes = encode_class_names(reader, vectors.space, labelled, words=words)
    holdout = _Holdout(
        model_selection.centre_rows(rows, centre),
        labelled.targets,
        len(labelled.classes),
        groups,
        word_vectors,
        labels.even,
    )
    logits, method, temperature = holdout.learn(first, second, seed)
    scores = _score_logits(logits, labelled.targets[second], groups[second], temperature, labelled.classes, method)
    curve = []
    for number, k in enumerate(shots):
        task.check()
        curve.append(holdout.point(first, second, k, seed))
        task.report(PHASE, number + 1, len(shots))
    return replace(
        scores,
        truth=labels.describe(),
        learned=len(first),
        curve=tuple(curve),
        notes=(*labelled.notes, *notes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Holdout:
    """The labelled images of an evaluation, with their classes and groups."""

    rows: Float32
    targets: Targets
    classes: int
    groups: Ids
    words: Float32 | None
    even: bool

    def learn(self, at: Ids, tested: Ids, seed: int) -> tuple[Float32, ProbeMethod, float]:
        """Train on some rows; return logits of the tested rows, the method, and the temperature."""
        selection = model_selection.select_model(
            self.rows[at],
            self.targets[at],
            self.classes,
            self.groups[at],
            self.words,
            even=self.even,
            seed=seed,
        )
        return selection.scorer.logits(self.rows[tested]), selection.scorer.name, selection.best.temperature

    def point(self, first: Ids, second: Ids, shots: int, seed: int) -> CurvePoint:
        """Compute a point of the learning curve."""
        kinds = model_selection.strata(self.targets)
        logits, at, learned = [], [], 0
        for draw in range(DRAWS):
            generator = np.random.default_rng((seed, draw))
            sample: list[int] = []
            for kind in range(self.classes + 1):
                members = generator.permutation(first[kinds[first] == kind])
                _, firsts = np.unique(self.groups[members], return_index=True)
                sample += members[np.sort(firsts)][:shots].tolist()
            draw_logits, _, _ = self.learn(np.sort(np.array(sample)), second, seed)
            logits.append(draw_logits)
            at.append(second)
            learned = len(sample)
        intervals = _accuracy_intervals(
            np.concatenate(logits), np.concatenate(at), self.targets, self.groups, self.classes
        )
        return CurvePoint(shots, learned, *intervals)


def _map_to_probe_classes(
    reader: Reader, probe: Probe, truth: Labels, searchable: Ids
) -> tuple[LabelledImages, tuple[str, ...]]:
    """Map labels to a probe's class numbers; also return the classes it does not know."""
    info = probe.info
    number = {name: n for n, name in enumerate(info.classes)}
    if info.several and truth.kind == "tags":
        labelled = read_labels(reader, replace(probe.labels, names=info.classes), searchable)
        return labelled, ()
    labelled = read_labels(reader, truth, searchable)
    unknown = tuple(name for name in labelled.classes if name not in number)
    if info.several:
        marks = np.zeros((len(labelled), len(info.classes)), np.bool_)
        for n, name in enumerate(labelled.classes):
            if name in number:
                marks[labelled.targets == n, number[name]] = True
        return replace(labelled, classes=info.classes, targets=marks), ()
    of = np.array([number.get(name, -1) for name in labelled.classes])[labelled.targets]
    remaining = labelled.take(np.flatnonzero(of >= 0))
    if not len(remaining):
        raise UsageError(
            f"{truth.describe()} and the probe {info.name} have no class in common",
            hint=f"the probe knows {', '.join(info.classes[:20])}; the truth has {', '.join(labelled.classes[:20])}",
        )
    return replace(remaining, classes=info.classes, targets=of[of >= 0]), unknown


def _rows_among(digests: Ids, known: Ids) -> npt.NDArray[np.bool_]:
    """Return which rows of (m, 4) are among those of (k, 4)."""
    known_rows = {row.tobytes() for row in np.ascontiguousarray(known, np.int64)}
    return np.array([row.tobytes() in known_rows for row in np.ascontiguousarray(digests, np.int64)], np.bool_)


def _accuracy_intervals(
    logits: Numbers, at: Ids, targets: Targets, groups: Ids, classes: int
) -> tuple[Estimate, Estimate]:
    """Top-1 and mean per-class accuracy with intervals; images of one group are resampled together."""
    truth = targets[at]
    numbers = np.unique(groups[at], return_inverse=True)[1]
    is_right = calibration.correctness(logits, truth)
    accuracy = bootstrap.interval(is_right, groups=numbers, resamples=_RESAMPLES)
    if truth.ndim == 2:
        hits = ((logits > 0) == truth).astype(np.float64)

        def balanced(values: Numbers, weights: Numbers) -> float:
            yes, no = truth * weights[:, None], ~truth * weights[:, None]
            rates = [(side * hits).sum(axis=0) / np.maximum(side.sum(axis=0), 1) for side in (yes, no)]
            both = (yes.sum(axis=0) > 0) & (no.sum(axis=0) > 0)
            return float(np.mean((rates[0] + rates[1])[both] / 2)) if both.any() else float("nan")

    else:

        def balanced(values: Numbers, weights: Numbers) -> float:
            total = np.bincount(truth, weights, classes)
            is_present = total > 0
            return float(np.mean(np.bincount(truth, weights * values, classes)[is_present] / total[is_present]))

    return accuracy, bootstrap.interval(is_right, balanced, groups=numbers, resamples=_RESAMPLES)


def _score_logits(
    logits: Numbers,
    targets: Targets,
    groups: Ids,
    temperature: float,
    names: Sequence[str],
    method: ProbeMethod,
) -> ProbeEvaluation:
    """Compute the metrics of an evaluation from logits."""
    chances = calibration.probabilities(logits, temperature, targets.ndim == 2)
    accuracy, per_class = _accuracy_intervals(logits, np.arange(len(targets)), targets, groups, len(names))
    confusions: tuple[ProbeConfusion, ...] = ()
    if targets.ndim == 2:
        marks, predictions = targets, logits > 0
    else:
        predicted = logits.argmax(axis=1)
        numbers = np.arange(len(names))
        marks, predictions = targets[:, None] == numbers, predicted[:, None] == numbers
        confusions = tuple(
            ProbeConfusion(names[one.truth], names[one.predicted], one.count)
            for one in classification.confusions(targets, predicted, _CONFUSIONS)
        )
    tested, predicted_counts, hits = marks.sum(axis=0), predictions.sum(axis=0), (marks & predictions).sum(axis=0)
    return ProbeEvaluation(
        probe=None,
        method=method,
        truth="",
        learned=0,
        tested=len(targets),
        left_out=0,
        unknown=(),
        accuracy=accuracy,
        per_class=per_class,
        ece=calibration.calibration_error(chances, targets),
        classes=tuple(
            ClassScore(
                name,
                int(tested[n]),
                float(hits[n] / tested[n]) if tested[n] else None,
                float(hits[n] / predicted_counts[n]) if predicted_counts[n] else None,
            )
            for n, name in enumerate(names)
        ),
        confusions=confusions,
    )
