"""Probes, their predictions, and their quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imseek.types.evaluate import Estimate
from imseek.types.labels import LabelExamples
from imseek.types.pictures import Place


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """Cross-validated scores of one kind of probe (``linear`` or ``cache``) with its best settings.

    ``tested`` labelled images were used. ``accuracy`` has a 95 % interval; with several classes per image it is the
    share of correct yes/no answers. ``log_loss`` is in nats, ``ece`` the expected calibration error. All are None where
    nothing could be held out. They are slightly optimistic, because the settings were chosen by the same scores.
    """

    method: str
    settings: Mapping[str, float]
    accuracy: Estimate | None
    log_loss: float | None
    ece: float | None
    tested: int


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """A probe's description.

    ``counts`` are its training images per class, ``labels`` their origin. ``several``: an image may have any number of
    classes. ``scores`` covers the kinds that were tried; ``method`` is the one chosen.
    """

    name: str
    method: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    several: bool
    labels: str
    where: str | None
    encoder: str
    fingerprint: str
    dim: int
    created: str
    temperature: float
    scores: tuple[ProbeScore, ...]
    notes: tuple[str, ...]

    @property
    def score(self) -> ProbeScore:
        """The scores of the chosen kind."""
        return next(one for one in self.scores if one.method == self.method)


@dataclass(frozen=True, slots=True)
class ProbeLabel:
    """A probe's prediction for one image: the most probable class with its probability."""

    image_id: int
    label: str
    probability: float
    place: Place | None


@dataclass(frozen=True, slots=True)
class ProbeApplyReport:
    """The result of applying a probe to ``images`` images.

    ``counts`` has the number of images by class (with several classes: probability at or above the threshold); ``none``
    counts those without. ``surest`` and ``unsurest`` are examples overall, ``examples`` those of each class (last, with
    several classes, of none).

    ``saved`` names the stored columns; ``tagged`` and ``untagged`` count tags added and removed; ``kept`` counts images
    left alone because they carry a tag from elsewhere. If ``interrupted``, nothing was stored.
    """

    probe: str
    images: int
    counts: Mapping[str, int]
    none: int
    surest: tuple[ProbeLabel, ...]
    unsurest: tuple[ProbeLabel, ...]
    saved: str | None = None
    tagged: int = 0
    untagged: int = 0
    kept: int = 0
    interrupted: bool = False
    examples: tuple[LabelExamples, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """An image to label next.

    ``reason`` is ``unsure`` (two classes are nearly equally probable; ``label`` and ``probability`` are those of the
    more probable) or ``typical`` (it represents many images unlike any labelled one).
    """

    image_id: int
    reason: str
    label: str | None
    probability: float | None
    place: Place | None


@dataclass(frozen=True, slots=True)
class Proposals:
    """Images proposed for labelling.

    ``labelled`` counts images labelled already, ``looked`` all others, ``copies`` candidates skipped as copies.
    """

    proposals: tuple[Proposal, ...]
    labelled: int
    looked: int
    copies: int
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Recall (``accuracy``, None without images) and ``precision`` for one class, over ``tested`` images of it."""

    name: str
    tested: int
    accuracy: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Number of images of class ``truth`` that were predicted as another."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the learning curve: ``shots`` labelled images per class (``learned`` in all), averaged over random
    draws."""

    shots: int
    learned: int
    accuracy: Estimate
    per_class: Estimate


@dataclass(frozen=True, slots=True)
class ProbeEvaluation:
    """Evaluation on ``tested`` images, none of them a copy or near-duplicate of the ``learned`` training images.

    ``left_out`` images were excluded for that reason, or because the probe does not know their class (``unknown``).
    ``accuracy`` is top-1 (with several classes per image, the share of correct yes/no answers); ``per_class`` is the
    mean over classes. Both have 95 % bootstrap intervals over groups of copies. ``ece`` is the expected calibration
    error.
    """

    probe: str | None
    method: str
    truth: str
    learned: int
    tested: int
    left_out: int
    unknown: tuple[str, ...]
    accuracy: Estimate
    per_class: Estimate
    ece: float
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    curve: tuple[CurvePoint, ...] = ()
    notes: tuple[str, ...] = ()
