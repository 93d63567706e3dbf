"""What probes are, what they say of images, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imseek.types.evaluate import Estimate
from imseek.types.labels import LabelExamples
from imseek.types.pictures import Place


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """A kind of probe (``linear`` or ``cache``) with the best of its settings, by cross-validation over ``tested``
    labelled images.

    ``accuracy`` is the share that is right (where images may have several classes, of all answers yes or no) with its
    95 % interval, ``log_loss`` in nats, ``ece`` the expected calibration error of the probabilities. All None where
    nothing could be held out. They flatter a little: the settings were chosen by the same figures.
    """

    method: str
    settings: Mapping[str, float]
    accuracy: Estimate | None
    log_loss: float | None
    ece: float | None
    tested: int


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """A probe. ``counts`` are the images of each class that it learned from, ``labels`` where they came from;
    ``several``: an image may have any of the classes. ``scores`` are of what was tried, ``method`` the one it is."""

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
        """That of the kind it is."""
        return next(one for one in self.scores if one.method == self.method)


@dataclass(frozen=True, slots=True)
class ProbeLabel:
    """What a probe says of an image: the likeliest class with its probability."""

    image_id: int
    label: str
    probability: float
    place: Place | None


@dataclass(frozen=True, slots=True)
class ProbeApplied:
    """``images`` were looked at; ``counts`` says of each class, how many are of it (with several: at a probability of
    the threshold or more), ``none`` how many of no class. ``surest`` and ``unsurest`` are some of them,
    ``examples`` some of each class (last, where images may have several, of none of them).

    ``saved`` is the set of columns that was stored, ``tagged`` and ``untagged`` how many tags were given and taken
    away; ``kept``: so many were not given, as somebody else has tagged the image. ``interrupted``: it was stopped
    before the end, and nothing was stored.
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
    """An image to label next. ``reason``: ``unsure`` (two classes are all but equal; ``label`` and ``probability`` are
    of the likelier) or ``typical`` (it stands for many images that are like no labelled one)."""

    image_id: int
    reason: str
    label: str | None
    probability: float | None
    place: Place | None


@dataclass(frozen=True, slots=True)
class Proposals:
    """``labelled`` images were known, ``looked`` at were all others; ``copies`` of them were passed over."""

    proposals: tuple[Proposal, ...]
    labelled: int
    looked: int
    copies: int
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Of ``tested`` images of a class so many were called that (``accuracy``, None for none), and of those that were
    called that so many are (``precision``)."""

    name: str
    tested: int
    accuracy: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """So many of one class were given another."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """With ``shots`` labelled images of each class (``learned`` in all), drawn ``draws`` times."""

    shots: int
    learned: int
    accuracy: Estimate
    per_class: Estimate


@dataclass(frozen=True, slots=True)
class ProbeEvaluation:
    """On ``tested`` images that a probe did not learn from, nor from a copy or near-duplicate of; ``learned`` from so
    many; ``left_out`` were for that reason, or since their class is unknown to the probe (``unknown``).

    ``accuracy`` is top-1 (where images may have several classes, of all answers yes or no), ``per_class`` the mean over
    classes; both with 95 % intervals by a bootstrap over groups of copies. ``ece``: expected calibration error.
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
