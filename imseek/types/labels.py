"""Labels by words, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.types.evaluate import Estimate
from imseek.types.pictures import Float32


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many images were given a label (None: none of the classes), and its mean probability."""

    label: str | None
    images: int
    probability: float


@dataclass(frozen=True, slots=True)
class LabelExamples:
    """Of a label (None: none of the classes): how many ``images`` were given it, their mean probability (0 for no
    image), and some of them as pairs of id and probability: the ``surest``, the best first, and the ``unsurest``, the
    worst first. An image is in one of the two only. Probabilities are told to a millionth."""

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
        """From all images (m,) that were given it; ``n`` of each sort at most."""
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
    """What each of n images was given, in the order of ``image_ids`` (n,), ascending.

    ``top`` (n, k) are the most probable classes, the best first, as numbers into ``classes``, -1 for none of them;
    ``probabilities`` (n, k) float32 go with them. The first ``given`` (n,) of an image are its labels: none, where none
    is probable enough or the best is none of the classes. ``cautions`` (n,) bool says where the picture is liker to
    writing that says the class than to the class; None where that was not asked for. ``factor`` is what cosines were
    multiplied by, ``factor_source`` who says so.
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
    #: Where they were stored under a name: the generation that has them.
    stored: int | None = None
    tagged: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    def label(self, at: int) -> str | None:
        """The best label of the image at a position."""
        return self.classes[self.top[at, 0]] if self.given[at] else None

    def labels(self, at: int) -> tuple[str, ...]:
        """All labels of the image at a position."""
        return tuple(self.classes[number] for number in self.top[at, : self.given[at]].tolist())

    def counts(self) -> tuple[LabelCount, ...]:
        """How many images have each label, the most frequent first; labels that none has are left out."""
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
        """Of each class, in the order of ``classes``, and last of none of them: how many images, and some of them."""
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
    """``labels`` of some images, evenly taken from the ``of`` that :func:`imseek.labels.label` would label. With
    ``multi_known`` its encoder, or what was learned, can say of each class by itself how probable it is."""

    labels: Labels
    of: int
    multi_known: bool


@dataclass(frozen=True, slots=True)
class SavedLabels:
    """Labels by words that stay under a name, and how they were made. ``current``: the collection has the ``encoder``
    that they were made with; else they cannot be continued. ``columns`` and ``tags`` say as what they are stored."""

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
    """Of the ``images`` that are of a class the share that was given it."""

    name: str
    images: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """So many images of the class ``truth`` were given ``label`` (None: none of the classes)."""

    truth: str
    label: str | None
    images: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature that was learned: what cosines are multiplied by (``factor``), what is added for a sigmoid, and
    what it did: mean negative log-likelihood and expected calibration error with the encoder's own number and with it.

    ``held_out`` says whether these two are of images that it was not learned from.
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
    """How good zero-shot labels are, over the ``images`` whose true class is known.

    ``top1``, ``top5`` and ``mean_per_class`` are shares, with 95 % bootstrap intervals over images; ``ece`` is the
    expected calibration error (15 bins), ``nll`` the mean negative log-likelihood. ``per_class`` is in the order of the
    classes, without those that no image is of; ``confusions`` the most frequent first. ``flagged`` images were flagged
    as perhaps writing (0 where that was not asked for).
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
    """Of a policy's concept: its threshold, and how many images reach it."""

    name: str
    threshold: float
    images: int


@dataclass(frozen=True, slots=True, eq=False)
class Moderation:
    """How probable each concept of a policy is for each of n images: ``probabilities`` (n, concepts) float32.

    ``flagged`` (n, concepts) bool says which reach the concept's threshold, ``cautions`` (n, concepts) bool which of
    those are liker to writing that says so; None where that was not asked for.
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
class Forgotten:
    """What was stored under a name and is no more: its ``kind`` (``labels``, ``policy`` or ``temperature``), and how
    many tags went with it."""

    name: str
    kind: str
    tags: int
    generation: int
