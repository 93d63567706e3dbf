"""Zero-shot labels, and measures of their quality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.metrics.estimate import Estimate
from imseek.types.arrays import Float32
from imseek.types.json_form import Count, Json, Score, Share, json_member

_HIDDEN: Final = Json(hidden=True)
#: The number that cosines are multiplied by.
_Factor: TypeAlias = Annotated[float, Json(minimum=0)]
#: A measure before and after a change, NaN where it is not known.
_BeforeAfter: TypeAlias = tuple[Annotated[Score, Json(nan_null=True)], Annotated[Score, Json(nan_null=True)]]
#: A share that is stated in full.
_ExactShare: TypeAlias = Annotated[float, Json(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Number of images with a label."""

    label: str | None
    """None for none of the classes."""
    images: Count
    probability: Share
    """The mean over these images."""


@dataclass(frozen=True, slots=True)
class LabelExamples:
    """Images with a label: their number, and examples.

    Examples are pairs of id and probability; no image is in both lists. Probabilities are rounded to six decimals.
    """

    label: str | None
    """None for none of the classes."""
    images: int
    probability: float
    """Mean probability, 0 without images."""
    surest: tuple[tuple[int, float], ...]
    """The most probable first."""
    unsurest: tuple[tuple[int, float], ...]
    """The least probable first."""

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
    """Labels of n images."""

    image_ids: Annotated[npt.NDArray[np.int64], _HIDDEN]
    """The images (n,), ascending."""
    classes: Annotated[tuple[str, ...], _HIDDEN]
    top: Annotated[npt.NDArray[np.int32], _HIDDEN]
    """The most probable classes (n, k), best first, as indexes into ``classes``, -1 for none of them."""
    probabilities: Annotated[Float32, _HIDDEN]
    """Probabilities (n, k) of the classes in ``top``."""
    given: Annotated[npt.NDArray[np.int32], _HIDDEN]
    """How many of the first classes in ``top`` are labels of the image (n,).

    0 where none is probable enough or the best is none of the classes.
    """
    cautions: Annotated[npt.NDArray[np.bool_] | None, _HIDDEN]
    """Images (n,) more similar to written text naming the class than to the class, None where not requested."""
    multi: bool
    """Each class is decided by itself, so an image may have any number of labels."""
    factor: _Factor
    """The number that cosines were multiplied by."""
    factor_source: str
    encoder: str
    """The encoder of the space in which words and images were compared."""
    generation: Count
    stored: Annotated[int | None, _HIDDEN] = None
    """Generation in which the labels were stored under a name."""
    tagged: Annotated[int, _HIDDEN] = 0
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
            found.append(LabelExamples.of(name, self.image_ids[rows[at]], self.probabilities[rows[at], places[at]], n))
        nothing = np.flatnonzero(self.given == 0)
        found.append(LabelExamples.of(None, self.image_ids[nothing], self.probabilities[nothing, 0], n))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class LabelPreview:
    """Labels of evenly spaced images among those that :func:`imseek.labels.label` would label."""

    labels: Labels
    of: int
    """Number of images that would be labelled."""
    multi_known: bool
    """The encoder or a learned temperature allows independent probabilities for each class."""


@dataclass(frozen=True, slots=True)
class SavedLabels:
    """Stored zero-shot labels and their recipe."""

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
    """The collection still has the encoder they were made with; otherwise they cannot be continued."""
    columns: bool
    """They are stored as columns."""
    tags: bool
    """They are stored as tags."""
    created: str


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """The share of the images of a class that were labelled correctly."""

    name: Annotated[str, Json(name="class")]
    images: Count
    accuracy: _ExactShare


@dataclass(frozen=True, slots=True)
class Confusion:
    """Number of images of a class that were labelled as another."""

    truth: Annotated[str, Json(name="class")]
    label: str | None
    """None for none of the classes."""
    images: Count


@dataclass(frozen=True, slots=True)
class Calibration:
    """A learned temperature and its effect."""

    name: str
    factor: _Factor
    """The number that cosines are multiplied by."""
    bias: float | None
    """Added for a sigmoid."""
    images: Count
    """Number of images that it was learned from."""
    held_out: bool
    """The measures are of images not used for learning."""
    nll_before: Annotated[float, _HIDDEN]
    nll_after: Annotated[float, _HIDDEN]
    ece_before: Annotated[float, _HIDDEN]
    ece_after: Annotated[float, _HIDDEN]
    generation: Count
    notes: tuple[str, ...] = ()

    @property
    @json_member()
    def negative_log_likelihood(self) -> _BeforeAfter:
        """The mean with the encoder's own factor, where that is known, and with the learned one."""
        return self.nll_before, self.nll_after

    @property
    @json_member()
    def calibration_error(self) -> _BeforeAfter:
        """The expected one with the encoder's own factor, where that is known, and with the learned one."""
        return self.ece_before, self.ece_after


@dataclass(frozen=True, slots=True)
class LabelEvaluation:
    """Accuracy of zero-shot labels, as shares with 95 % bootstrap intervals over images."""

    images: Count
    """Number of images whose true class is known."""
    classes: Annotated[tuple[str, ...], _HIDDEN]
    truth: str
    """Where the true classes are from."""
    top1: Estimate
    top5: Estimate
    mean_per_class: Estimate
    ece: Annotated[Share, Json(name="calibration_error")]
    """Expected calibration error, of 15 bins."""
    nll: Annotated[Score, Json(name="negative_log_likelihood", minimum=0)]
    """Mean negative log-likelihood."""
    per_class: tuple[ClassAccuracy, ...]
    """In the order of the classes, without those that have no image."""
    confusions: tuple[Confusion, ...]
    """The most frequent first."""
    factor: _Factor
    """The number that cosines were multiplied by."""
    factor_source: str
    encoder: str
    """The encoder of the space in which words and images were compared."""
    generation: Count
    calibration: Annotated[Calibration | None, Json(name="temperature")] = None
    """The temperature that was learned and stored, None where this was not requested."""
    notes: tuple[str, ...] = ()

    @property
    @json_member(Json(name="classes"))
    def class_count(self) -> Count:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class ConceptCount:
    """A concept of a policy with its threshold and the number of images that reach it."""

    name: str
    threshold: _ExactShare
    images: Count


@dataclass(frozen=True, slots=True, eq=False)
class Moderation:
    """Probabilities of a policy's concepts for n images."""

    image_ids: Annotated[npt.NDArray[np.int64], _HIDDEN]
    policy: str
    """The policy's name."""
    concepts: tuple[ConceptCount, ...]
    probabilities: Annotated[Float32, _HIDDEN]
    """Probabilities (n, concepts)."""
    flagged: Annotated[npt.NDArray[np.bool_], _HIDDEN]
    """Those (n, concepts) at or above the concept's threshold."""
    cautions: Annotated[npt.NDArray[np.bool_] | None, _HIDDEN]
    """Flagged ones (n, concepts) more similar to written text naming the concept, None where not requested."""
    factor: _Factor
    """The number that cosines were multiplied by."""
    factor_source: str
    encoder: str
    """The encoder of the space in which words and images were compared."""
    generation: Count
    stored: Annotated[int | None, _HIDDEN] = None
    """Generation in which the flags were stored under a name."""
    tagged: Annotated[int, _HIDDEN] = 0
    notes: tuple[str, ...] = ()


RecordKind: TypeAlias = Literal["labels", "policy", "temperature"]


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """A deleted record."""

    name: str
    kind: RecordKind
    tags: Count
    """Number of tags deleted with it."""
    generation: Count
