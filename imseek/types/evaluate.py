"""What an evaluation finds: figures with the intervals that say how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over a sample, and between which values it lies at the level that was asked for (95 %, usually)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How well ``questions`` found what belongs to them among ``items``, with 95 % intervals.

    ``recall`` is R@k by k: the share of questions with a right item among the first k, as CLIP_benchmark counts it.
    Ranks begin at 1 and are those of the best right item; of equal scores, wrong items come first.
    ``mean_average_precision`` is over all right items of a question; with one, it is the mean of 1 / rank.
    """

    questions: int
    items: int
    recall: Mapping[int, Estimate]
    median_rank: Estimate
    mean_rank: Estimate
    mean_average_precision: Estimate


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of given captions could not be used. ``unknown`` rows named no image of those that count, or several;
    ``names`` are the first of them. ``empty`` rows had no caption; ``unreferenced`` captions no reference."""

    unknown: int = 0
    empty: int = 0
    unreferenced: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """``captions_from`` is ``"space"`` (embedded before), ``"metadata"`` (the collection's own, embedded for this) or
    ``"given"``. Where ``stop`` was set, ``interrupted``: then figures are None where they are not of all questions."""

    encoder: str
    space_id: int
    generation: int
    images: int
    captions: int
    captions_from: str
    among: str
    text_to_image: Retrieved | None
    image_to_text: Retrieved | None
    left_out: LeftOut = LeftOut()
    interrupted: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeighbourKind:
    """What an index finds for one kind of queries: ``"image"`` or ``"text"``, and how they ``came`` (``"stored"``,
    ``"captions"``, ``"made from pictures"``, ``"given"``).

    ``recall`` by k: of the exact k best, the share that was found; scores that are equal are as good. ``stated`` is
    the recall@10 that was measured when the index was built (None: no filter was measured then, or it is searched
    exactly). Milliseconds are wall time of one query after the other, for the largest k; ``cpu`` is processor time of
    such a query, on the average.
    """

    kind: str
    came: str
    queries: int
    recall: Mapping[int, Estimate]
    stated: float | None
    median_ms: float
    p99_ms: float
    cpu_ms: float
    exact_ms: float


@dataclass(frozen=True, slots=True)
class NeighbourReport:
    """``index`` is the FAISS factory string; None where the space is searched exactly anyway. ``filtered`` is the
    share of images that a filter let through, by chance."""

    encoder: str
    space_id: int
    generation: int
    images: int
    index: str | None
    filtered: float | None
    kinds: tuple[NeighbourKind, ...]
    interrupted: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that are compared: vectors of ``encoder``, stored in a collection or made for this."""

    name: str
    encoder: str
    collection: str
    stored: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """The same questions, asked of both. Differences are those of ``b`` less those of ``a``, with 95 % intervals of a
    paired bootstrap: both are drawn the same questions."""

    a: Retrieved
    b: Retrieved
    recall: Mapping[int, Estimate]
    mean_average_precision: Estimate


Better: TypeAlias = Literal["a", "b"]


def better(difference: Estimate) -> Better | None:
    """Which of two is better, by an interval of b less a that lies on one side of 0; None: no difference is shown."""
    return "b" if difference.low > 0 else "a" if difference.high < 0 else None


@dataclass(frozen=True, slots=True)
class CompareReport:
    """``images`` and ``captions`` are those that both sides have. ``unreadable`` pictures, which would have had to be
    encoded, are left out of both; ``reasons`` say why, the first of them.

    ``verdict`` is by the mean average precision of text → image (with one caption each, the mean of 1 / rank), named in
    advance since it uses all ranks: ``"a"`` or ``"b"`` is better, or None: no difference is shown.
    """

    a: Side
    b: Side
    images: int
    captions: int
    text_to_image: Compared | None
    image_to_text: Compared | None
    left_out: LeftOut = LeftOut()
    unreadable: int = 0
    reasons: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def verdict(self) -> Better | None:
        return None if self.text_to_image is None else better(self.text_to_image.mean_average_precision)
