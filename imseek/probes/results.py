"""Probes, their predictions, and their quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.labels.results import LabelExamples
from imseek.metrics.estimate import Estimate
from imseek.types.json_form import Count, Json, Score, Share, json_member
from imseek.types.pictures import ImagePlace

ProbeMethod: TypeAlias = Literal["linear", "cache", "coop", "cocoop"]


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """Cross-validated scores of one kind of probe with its best settings.

    They are slightly optimistic, because the settings were chosen by the same scores; None where nothing could be held
    out.
    """

    method: ProbeMethod
    settings: Mapping[str, Score]
    accuracy: Estimate | None
    """With its 95 % interval; with several classes per image, the share of correct yes/no answers."""
    log_loss: Score | None
    """In nats."""
    ece: Score | None
    """Expected calibration error."""
    tested: Count
    """Number of labelled images that were used."""


@dataclass(frozen=True, slots=True)
class ProbeClass:
    """A class of a probe."""

    name: str
    images: Count
    """Number of its training images."""


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """A probe's description."""

    name: str
    method: ProbeMethod
    """The kind that was chosen."""
    classes: Annotated[tuple[str, ...], Json(hidden=True)]
    counts: Annotated[tuple[int, ...], Json(hidden=True)]
    """Number of training images per class."""
    several: bool
    """An image may have any number of the classes."""
    labels: str
    """Origin of the labels that it learned from."""
    where: str | None
    encoder: str
    fingerprint: str
    dim: Annotated[int, Json(hidden=True)]
    created: str
    """ISO 8601 in UTC."""
    temperature: Score
    scores: tuple[ProbeScore, ...]
    """Those of the kinds that were tried, by cross-validation."""
    notes: tuple[str, ...]

    @property
    @json_member(Json(name="classes"))
    def class_counts(self) -> tuple[ProbeClass, ...]:
        """The classes and their training images."""
        return tuple(map(ProbeClass, self.classes, self.counts))

    @property
    def score(self) -> ProbeScore:
        """The scores of the chosen kind."""
        return next(one for one in self.scores if one.method == self.method)


@dataclass(frozen=True, slots=True)
class ProbeLabel:
    """A probe's prediction for one image: the most probable class."""

    image_id: Count
    label: str
    probability: Share
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class ProbeApplyReport:
    """The result of applying a probe."""

    probe: str
    images: Count
    """Number of images that it was applied to."""
    counts: Mapping[str, Count]
    """Images by class; with several classes, those with a probability at or above the threshold."""
    none: Count
    """Number of images of no class, where an image may have several."""
    surest: tuple[ProbeLabel, ...]
    unsurest: tuple[ProbeLabel, ...]
    saved: str | None = None
    """Name of the stored columns."""
    tagged: Count = 0
    """Number of tags added."""
    untagged: Count = 0
    """Number of tags removed."""
    kept: Count = 0
    """Number of images left alone because they carry a tag from elsewhere."""
    interrupted: bool = False
    """It was stopped, and nothing was stored."""
    examples: Annotated[tuple[LabelExamples, ...], Json(hidden=True)] = ()
    """Examples of each class, and last, with several classes, of none."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An image to label next."""

    image_id: Count
    reason: Literal["unsure", "typical"]
    """Two classes are nearly equally probable (``unsure``), or it stands for many images unlike labelled ones."""
    label: str | None
    """The more probable class, None where it is typical."""
    probability: Share | None
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class Proposals:
    """Images proposed for labelling."""

    proposals: tuple[Proposal, ...]
    labelled: Count
    """Number of images labelled already."""
    looked: Count
    """Number of all other images."""
    copies: Count
    """Number of candidates skipped as copies or near-duplicates."""
    classes: tuple[str, ...]
    """Those that the probe tells apart; empty where there is no probe."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Accuracy for one class."""

    name: str
    tested: Count
    """Number of its images."""
    accuracy: Share | None
    """Recall: the share of its images that were predicted as it, None without images."""
    precision: Share | None
    """The share of the images predicted as it that are of it, None where there are none."""


@dataclass(frozen=True, slots=True)
class ProbeConfusion:
    """Number of images of a class that were predicted as another."""

    truth: str
    predicted: str
    count: Count


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the learning curve, averaged over random draws."""

    shots: Count
    """Number of labelled images per class."""
    learned: Count
    """Number of labelled images in all."""
    accuracy: Estimate
    per_class: Estimate


@dataclass(frozen=True, slots=True)
class ProbeEvaluation:
    """Evaluation on images that are no copies or near-duplicates of training images.

    Estimates have 95 % bootstrap intervals over groups of copies.
    """

    probe: str | None
    """None for one learned from half of the labels."""
    method: ProbeMethod
    truth: str
    """Origin of the true classes."""
    learned: Count
    """Number of training images."""
    tested: Count
    """Number of images that it was evaluated on."""
    left_out: Count
    """Number of images left out: training images, and copies or near-duplicates of them."""
    unknown: tuple[str, ...]
    """Classes of the truth that the probe does not know; their images are left out too."""
    accuracy: Estimate
    """Top-1; with several classes per image, the share of correct yes/no answers."""
    per_class: Estimate
    """Mean over classes."""
    ece: Score
    """Expected calibration error."""
    classes: tuple[ClassScore, ...]
    confusions: tuple[ProbeConfusion, ...]
    """The most frequent first."""
    curve: tuple[CurvePoint, ...] = ()
    notes: tuple[str, ...] = ()
