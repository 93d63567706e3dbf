"""Results of ``imseek tune``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.evaluate import Estimate

TuneSource: TypeAlias = Literal["captions", "tags", "judgements"]
TuneLoss: TypeAlias = Literal["infonce", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Retrieval quality of ``questions`` queries over ``items``.

    R@1, R@5, R@10, the median rank of the first relevant item, and the mean average precision.
    """

    questions: int
    items: int
    r1: float
    r5: float
    r10: float
    median_rank: float
    precision: float


@dataclass(frozen=True, slots=True)
class TuneGain:
    """Held-out quality ``before`` and ``after`` tuning in one ``direction``.

    The direction is ``"text to image"``, ``"image to text"`` or ``"image to image"``. ``r1`` and ``precision`` are
    differences with 95 % intervals of paired bootstraps.
    """

    direction: str
    before: Retrieval
    after: Retrieval
    r1: Estimate
    precision: Estimate


@dataclass(frozen=True, slots=True)
class Tuning:
    """An adapter's training, and its effect on unseen images.

    Training was best after ``steps`` steps; the share ``strength`` of the residual of rank ``rank`` was kept. ``scale``
    multiplied the cosines in the loss at that point. ``moved`` is the mean cosine of held-out vectors with their
    originals. ``gain`` is the change of average precision, averaged over all directions with equal weight, with a 99 %
    interval; it decides whether the adapter ``helps``.
    """

    steps: int
    rank: int
    strength: float
    scale: float
    moved: float
    gains: tuple[TuneGain, ...]
    gain: Estimate
    helps: bool


@dataclass(frozen=True, slots=True)
class TuneReport:
    """The result of ``tune``.

    ``outcome`` is ``"switched"`` (the space ``space_id`` is searched from ``generation`` on, and ``replaced`` is kept),
    ``"refused"`` (no improvement), ``"tried"`` (an improvement, but no change was requested), or ``"interrupted"``
    (nothing changed; ``taught`` is None if it was not yet measured). ``train``, ``validation`` and ``held_out`` count
    the images for training, early stopping and evaluation, with ``pairs`` pairs in all.
    """

    outcome: str
    name: str
    encoder: str
    source: TuneSource
    loss: TuneLoss
    seed: int
    pairs: int
    train: int
    validation: int
    held_out: int
    taught: Tuning | None
    space_id: int | None
    replaced: int | None
    images: int
    seconds: float
    generation: int
    notes: tuple[str, ...] = ()
