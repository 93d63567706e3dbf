"""What ``imseek tune`` finds and does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.evaluate import Estimate

TuneSource: TypeAlias = Literal["captions", "tags", "judgements"]
TuneLoss: TypeAlias = Literal["infonce", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well ``questions`` find what belongs to them among ``items``: R@1, R@5, R@10, the median rank of the first
    right item, and the mean average precision."""

    questions: int
    items: int
    r1: float
    r5: float
    r10: float
    median_rank: float
    precision: float


@dataclass(frozen=True, slots=True)
class TuneGain:
    """The held-out part ``before`` and ``after``, in one direction (``"text to image"``, ``"image to text"``,
    ``"image to image"``); ``r1`` and ``precision`` are the differences, with 95 % intervals of paired bootstraps."""

    direction: str
    before: Retrieval
    after: Retrieval
    r1: Estimate
    precision: Estimate


@dataclass(frozen=True, slots=True)
class Tuning:
    """How an adapter was learned, and what it does for pictures that it has not seen.

    After ``steps`` steps it was best, and ``strength`` of its residual of rank ``rank`` was kept; ``scale`` is what the
    loss multiplied cosines by then. ``moved`` is the mean cosine of held-out vectors with themselves before. ``gain``
    is the difference of the average precision over all directions, each counting the same, with a 99 % interval;
    whether it ``helps`` is decided by it.
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
    """What ``tune`` did.

    ``outcome`` is ``"switched"`` (the space ``space_id`` is searched from ``generation`` on, and ``replaced`` is kept),
    ``"refused"`` (it does not help), ``"tried"`` (it helps, and nothing was to be changed), or ``"interrupted"``
    (nothing has changed; ``taught`` is None where that was before it had been measured). ``train``, ``validation`` and
    ``held_out`` images were learned from, said when to stop, and judged, with ``pairs`` in all.
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
