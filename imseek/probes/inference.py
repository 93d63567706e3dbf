"""Apply a probe to all images in blocks; results are compact arrays, a few bytes for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors.base import Ids
from imseek.labels.results import LabelExamples
from imseek.probes.probe_store import Probe
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

PHASE: Final = "labelling"
#: Separator of names in a column with several classes per image.
SEPARATOR: Final = ", "


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for n images.

    ``ids`` (n,); ``best`` (n,) int32 is the most probable class, ``chance`` (n,) float32 its probability; ``marks`` (n,
    classes) bool are the classes at or above the threshold, only with several classes per image.
    """

    ids: Ids
    best: npt.NDArray[np.int32]
    chance: Float32
    marks: npt.NDArray[np.bool_] | None

    def labels(self, classes: Sequence[str]) -> Mapping[int, str]:
        """Map ids to class names; with several classes per image, to all of them, without images that have none."""
        marks = self.marks
        if marks is None:
            return LazyMapping(self.ids, lambda row: classes[int(self.best[row])])
        labelled_rows = np.flatnonzero(marks.any(axis=1))
        return LazyMapping(
            self.ids[labelled_rows],
            lambda n: SEPARATOR.join(classes[k] for k in np.flatnonzero(marks[labelled_rows[n]]).tolist()),
        )

    def chances(self) -> Mapping[int, float]:
        """Map ids to the probability of the best class, rounded to six decimals."""
        return LazyMapping(self.ids, lambda row: round(float(self.chance[row]), 6))

    def examples(self, classes: Sequence[str], n: int = 8) -> tuple[LabelExamples, ...]:
        """Examples of each class by the probability of the best class.

        With several classes per image, an image counts for its best class, or, below the threshold, for none (the
        last).
        """
        best = self.best if self.marks is None else np.where(self.marks.any(axis=1), self.best, len(classes))
        order = np.argsort(best, kind="stable")
        names = (*classes, *([] if self.marks is None else [None]))
        ends = np.searchsorted(best[order], np.arange(len(names) + 1))
        parts = (order[ends[number] : ends[number + 1]] for number in range(len(names)))
        return tuple(
            LabelExamples.of(name, self.ids[at], self.chance[at], n) for name, at in zip(names, parts, strict=True)
        )

    def counts(self, classes: int) -> list[int]:
        """Number of images in each class."""
        if self.marks is not None:
            return [int(n) for n in self.marks.sum(axis=0)]
        return [int(n) for n in np.bincount(self.best, minlength=classes)]


class LazyMapping(Mapping[int, Any]):
    """A mapping from ascending ids to values computed on access: a dict of a million takes a hundred megabytes."""

    def __init__(self, ids: Ids, value: Callable[[int], Any]) -> None:
        self._ids = ids
        self._value = value

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids.tolist())

    def __getitem__(self, image_id: int) -> Any:
        row = int(np.searchsorted(self._ids, image_id))
        if row == len(self._ids) or self._ids[row] != image_id:
            raise KeyError(image_id)
        return self._value(row)


def predict(
    vectors: Vectors,
    probe: Probe,
    threshold: float,
    task: Task = SILENT,
) -> Predictions | None:
    """Apply a probe to all of ``vectors``; None where it was cancelled."""
    n = len(vectors)
    best = np.empty(n, np.int32)
    chance = np.empty(n, np.float32)
    marks = np.empty((n, len(probe.info.classes)), np.bool_) if probe.info.several else None
    probe.check_time(n)
    for part, rows in vectors.blocks(probe.block):
        if task.is_cancelled:
            return None
        probabilities = probe.probabilities(rows)
        best[part] = probabilities.argmax(axis=1)
        chance[part] = probabilities.max(axis=1)
        if marks is not None:
            marks[part] = probabilities >= threshold
        task.report(PHASE, part.stop, n)
    return Predictions(vectors.ids, best, chance, marks)
