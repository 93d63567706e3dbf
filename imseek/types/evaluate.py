"""Results of evaluations, with confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_members import Json, Score


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its confidence interval, usually at 95 %.

    Each number may be NaN, where a resample has no image of a class that it needs.
    """

    value: Annotated[Score, Json(nan_null=True)]
    low: Annotated[Score, Json(nan_null=True)]
    high: Annotated[Score, Json(nan_null=True)]


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """Retrieval quality of ``questions`` queries over ``items``, with 95 % intervals.

    ``recall`` is R@k by k: the share of queries with a relevant item among the first k, as in CLIP_benchmark. Ranks
    start at 1 and are those of the best relevant item; in a tie, irrelevant items come first.
    ``mean_average_precision`` covers all relevant items of a query; with one, it is the mean of 1 / rank.
    """

    questions: int
    items: int
    recall: Mapping[int, Estimate]
    median_rank: Estimate
    mean_rank: Estimate
    mean_average_precision: Estimate


@dataclass(frozen=True, slots=True)
class UnusedCaptions:
    """Captions that could not be used.

    ``unknown`` rows matched no image in scope, or several; ``names`` are the first of them. ``empty`` rows had no
    caption; ``unreferenced`` captions had no reference.
    """

    unknown: int = 0
    empty: int = 0
    unreferenced: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Result of a retrieval evaluation.

    ``captions_from`` is ``"space"`` (already embedded), ``"metadata"`` (the collection's own, embedded for this run) or
    ``"given"``. ``interrupted`` is True where ``stop`` was set; metrics that do not cover all queries are then None.
    """

    encoder: str
    space_id: int
    generation: int
    images: int
    captions: int
    captions_from: str
    among: str
    text_to_image: RetrievalMetrics | None
    image_to_text: RetrievalMetrics | None
    left_out: UnusedCaptions = UnusedCaptions()
    interrupted: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeighbourKind:
    """Quality and speed of an index for one ``kind`` of queries, ``"image"`` or ``"text"``.

    ``came`` is their origin: ``"stored"``, ``"captions"``, ``"made from pictures"`` or ``"given"``. ``recall`` by k is
    the share of the exact k best that was found; equal scores count as found. ``stated`` is the recall@10 measured when
    the index was built, None with a filter or an exact index. Milliseconds are wall time per query, run one by one, at
    the largest k; ``cpu_ms`` is mean processor time per query.
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
    """Evaluation of an approximate index.

    ``index`` is the FAISS factory string, None where the space is searched exactly. ``filtered`` is the share of images
    that a random filter kept.
    """

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
class ComparedSide:
    """One side of a comparison: vectors of ``encoder``, stored in a collection or computed for this run."""

    name: str
    encoder: str
    collection: str
    stored: bool


@dataclass(frozen=True, slots=True)
class RetrievalComparison:
    """Retrieval quality of both sides for the same queries.

    Differences are ``b`` − ``a`` with 95 % intervals of a paired bootstrap, which resamples the same queries on both
    sides.
    """

    a: RetrievalMetrics
    b: RetrievalMetrics
    recall: Mapping[int, Estimate]
    mean_average_precision: Estimate


Better: TypeAlias = Literal["a", "b"]


def better_side(difference: Estimate) -> Better | None:
    """Return the better side if the interval of b − a excludes 0, else None."""
    return "b" if difference.low > 0 else "a" if difference.high < 0 else None


@dataclass(frozen=True, slots=True)
class CompareReport:
    """Comparison of two encoders or collections.

    ``images`` and ``captions`` are those that both sides have. ``unreadable`` images could not be encoded and are left
    out of both; ``reasons`` gives the first errors.
    """

    a: ComparedSide
    b: ComparedSide
    images: int
    captions: int
    text_to_image: RetrievalComparison | None
    image_to_text: RetrievalComparison | None
    left_out: UnusedCaptions = UnusedCaptions()
    unreadable: int = 0
    reasons: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def verdict(self) -> Better | None:
        """The better side by mean average precision of text → image, None where no difference is shown.

        The metric is fixed in advance because it uses all ranks; with one caption per image it is the mean of 1 / rank.
        """
        return None if self.text_to_image is None else better_side(self.text_to_image.mean_average_precision)
