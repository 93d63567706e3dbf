"""Zero-shot labels, and measures of their quality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.types.evaluate import Estimate
from imseek.types.pictures import Float32


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Number of images with a label (None: none of the classes), and the mean probability."""

    label: str | None
    images: int
    probability: float


@dataclass(frozen=True, slots=True)
class LabelExamples:
    """Images with a label (None: none of the classes): their number, mean probability, and examples.

    The mean is 0 without images. Examples are pairs of id and probability: the ``surest``, most probable first, and the
    ``unsurest``, least probable first. No image is in both. Probabilities are rounded to six decimals.
    """

    label: str | None
    images: int
    probability: float
    surest: tuple[tuple[int, float], ...]
    unsurest: tuple[tuple[int, float], ...]

    @classmethod
    def of(
        cls,
        label: str | None,
        ids: npt.NDArray[np.int64],
        probabilities: npt.NDArray[np.floating[Any]],
        n: int,
    ) -> LabelExamples:
        """Choose examples from all images (m,) with the label, at most ``n`` of each sort."""
        order = np.argsort(-probabilities, kind="stable")
        tail = order[max(n, len(order) - n) :][::-1]
        pairs = [
            tuple((int(ids[row]), round(float(probabilities[row]), 6)) for row in at)
            for at in (order[:n].tolist(), tail.tolist())
        ]
        mean = round(float(probabilities.mean(dtype=np.float64)), 6) if len(ids) else 0.0
        return cls(label, len(ids), mean, *pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of n images, in the order of ``image_ids`` (n,), ascending.

    ``top`` (n, k) holds the most probable classes, best first, as indexes into ``classes``, -1 for none of them, with
    ``probabilities`` (n, k) float32. The first ``given`` (n,) of each row are the image's labels; 0 where none is
    probable enough or the best is none of the classes. ``cautions`` (n,) bool marks images more similar to written text
    naming the class than to the class, None where this was not requested. Cosines were multiplied by ``factor``;
    ``factor_source`` says where it comes from.
    """

    image_ids: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    top: npt.NDArray[np.int32]
    probabilities: Float32
    given: npt.NDArray[np.int32]
    cautions: npt.NDArray[np.bool_] | None
    multi: bool
    factor: float
    factor_source: str
    encoder: str
    generation: int
    #: Generation in which the labels were stored under a name.
    stored: int | None = None
    tagged: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    def label(self, at: int) -> str | None:
        """Return the best label of the image at a position, None where it has none."""
        return self.classes[self.top[at, 0]] if self.given[at] else None

    def labels(self, at: int) -> tuple[str, ...]:
        """Return all labels of the image at a position."""
        return tuple(self.classes[number] for number in self.top[at, : self.given[at]].tolist())

    def counts(self) -> tuple[LabelCount, ...]:
        """Count images by label, most frequent first, without unused labels."""
        shown = np.arange(self.top.shape[1]) < self.given[:, None]
        sums = np.bincount(self.top[shown], self.probabilities[shown], len(self.classes))
        each = np.bincount(self.top[shown], minlength=len(self.classes))
        order = [int(n) for n in np.argsort(-each, kind="stable") if each[n]]
        found = [LabelCount(self.classes[n], int(each[n]), float(sums[n] / each[n])) for n in order]
        nothing = self.given == 0
        if nothing.any():
            mean = float(self.probabilities[nothing, 0].mean())
            found.append(LabelCount(None, int(nothing.sum()), mean))
        return tuple(found)

    def examples(self, n: int = 8) -> tuple[LabelExamples, ...]:
        """Return counts and examples for each class, in the order of ``classes``, then for none of them."""
        shown = np.arange(self.top.shape[1]) < self.given[:, None]
        rows, places = np.nonzero(shown)
        numbers = self.top[rows, places]
        order = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[order], np.arange(len(self.classes) + 1))
        found = []
        for number, name in enumerate(self.classes):
            at = order[ends[number] : ends[number + 1]]
            found.append(
                LabelExamples.of(name, self.image_ids[rows[at]], self.probabilities[rows[at], places[at]], n)
            )
        nothing = np.flatnonzero(self.given == 0)
        found.append(LabelExamples.of(None, self.image_ids[nothing], self.probabilities[nothing, 0], n))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class LabelPreview:
    """``labels`` of evenly spaced images among the ``of`` that :func:`imseek.labels.label` would label.

    With ``multi_known``, the encoder or a learned temperature allows independent probabilities for each class.
    """

    labels: Labels
    of: int
    multi_known: bool


@dataclass(frozen=True, slots=True)
class SavedLabels:
    """Stored zero-shot labels and their recipe.

    ``current`` is True where the collection still has the ``encoder`` they were made with; otherwise they cannot be
    continued. ``columns`` and ``tags`` say how they are stored.
    """

    name: str
    classes: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    templates: tuple[str, ...]
    none: tuple[str, ...]
    multi: bool
    threshold: float | None
    centred: bool
    where: str | None
    factor_source: str
    encoder: str
    current: bool
    columns: bool
    tags: bool
    created: str


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """The share of the ``images`` of a class that were labelled correctly."""

    name: str
    images: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Number of images of the class ``truth`` that were labelled ``label`` (None: none of the classes)."""

    truth: str
    label: str | None
    images: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A learned temperature and its effect.

    Cosines are multiplied by ``factor``; ``bias`` is added for a sigmoid. Mean negative log-likelihood (``nll``) and
    expected calibration error (``ece``) are given for the encoder's own factor and the learned one. ``held_out`` is
    True where they were measured on images not used for learning.
    """

    name: str | None
    factor: float
    bias: float | None
    images: int
    held_out: bool
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    generation: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelEvaluation:
    """Accuracy of zero-shot labels over the ``images`` whose true class is known.

    ``top1``, ``top5`` and ``mean_per_class`` are shares with 95 % bootstrap intervals over images; ``ece`` is the
    expected calibration error (15 bins), ``nll`` the mean negative log-likelihood. ``per_class`` is in the order of the
    classes, without those that have no image; ``confusions`` is sorted by frequency.
    """

    images: int
    classes: tuple[str, ...]
    truth: str
    top1: Estimate
    top5: Estimate
    mean_per_class: Estimate
    ece: float
    nll: float
    per_class: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]
    factor: float
    factor_source: str
    encoder: str
    generation: int
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConceptCount:
    """A concept of a policy with its threshold and the number of images that reach it."""

    name: str
    threshold: float
    images: int


@dataclass(frozen=True, slots=True, eq=False)
class Moderation:
    """Probabilities of a policy's concepts for n images: ``probabilities`` (n, concepts) float32.

    ``flagged`` (n, concepts) bool marks those at or above the concept's threshold. ``cautions`` (n, concepts) bool
    marks flagged ones that are more similar to written text naming the concept, None where this was not requested.
    """

    image_ids: npt.NDArray[np.int64]
    policy: str
    concepts: tuple[ConceptCount, ...]
    probabilities: Float32
    flagged: npt.NDArray[np.bool_]
    cautions: npt.NDArray[np.bool_] | None
    factor: float
    factor_source: str
    encoder: str
    generation: int
    stored: int | None = None
    tagged: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """A deleted record: its ``kind`` (``labels``, ``policy`` or ``temperature``), and the number of tags deleted with
    it."""

    name: str
    kind: str
    tags: int
    generation: int
