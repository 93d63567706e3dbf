"""Results of evaluations, with confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.captions.results import UnusedCaptions
from imseek.metrics.estimate import Better, Estimate, better_side
from imseek.types.json_form import Count, Json, Printable, json_member

Milliseconds: TypeAlias = Annotated[float, Json(digits=3, minimum=0)]
#: Origin of captions: embedded before; those of the collection, embedded for this; given.
CaptionOrigin: TypeAlias = Literal["space", "metadata", "given"]
Among: TypeAlias = Literal["captioned", "all"]
QueryKind: TypeAlias = Literal["image", "text"]
QueryOrigin: TypeAlias = Literal["stored", "captions", "made from pictures", "given"]


#: Estimates by k, the number of first results that they are about.
ByK: TypeAlias = Annotated[Mapping[Annotated[int, Json(minimum=1)], Estimate], Json(key="k")]


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """Retrieval quality, with 95 % intervals.

    Ranks start at 1 and are those of the best relevant item; in a tie, irrelevant items come first.
    """

    questions: Count
    """Number of queries."""
    items: Count
    """Number of items that were ranked for each query."""
    recall: ByK
    """R@k: the share of queries with a relevant item among the first k, as in CLIP_benchmark."""
    median_rank: Estimate
    mean_rank: Estimate
    mean_average_precision: Estimate
    """Over all relevant items of a query; with one, it is the mean of 1 / rank."""


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Result of a retrieval evaluation."""

    encoder: str
    """That of captions and pictures."""
    space_id: Count
    generation: Count
    images: Count
    """Number of images that were ranked."""
    captions: Count
    """Number of captions that were queries."""
    captions_from: CaptionOrigin
    """``space``: embedded before; ``metadata``: the collection's own, embedded for this; ``given``: the caller's."""
    among: Among
    """Which images were ranked: those with a caption, or all."""
    text_to_image: RetrievalMetrics | None
    image_to_text: RetrievalMetrics | None
    left_out: UnusedCaptions = UnusedCaptions()  # noqa: RUF009 - it is frozen
    interrupted: bool = False
    """Whether it was stopped; metrics that do not cover all queries are then null."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeighbourKind:
    """Quality and speed of an index for one kind of queries.

    Milliseconds are per query, run one by one, at the largest k.
    """

    kind: QueryKind
    """What the queries were searched as."""
    came: QueryOrigin
    """Where the queries came from."""
    queries: Count
    recall: ByK
    """The share of the exact k best that was found; equal scores count as found."""
    stated: float | None
    """The recall@10 measured when the index was built; null with a filter or an exact index."""
    median_ms: Milliseconds
    """Median of wall time."""
    p99_ms: Milliseconds
    """99th percentile of wall time."""
    cpu_ms: Milliseconds
    """Mean processor time."""
    exact_ms: Milliseconds
    """Median wall time of an exact search."""


@dataclass(frozen=True, slots=True)
class NeighbourReport:
    """Evaluation of an approximate index."""

    encoder: str
    space_id: Count
    generation: Count
    images: Count
    index: str | None
    """FAISS factory string; null where the space is searched exactly."""
    filtered: float | None
    """The share of images that a random filter kept; null without one."""
    kinds: tuple[NeighbourKind, ...]
    interrupted: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One side of a comparison: vectors of an encoder."""

    name: Annotated[str, Json(hidden=True)]
    encoder: str
    collection: Annotated[str, Json(hidden=True)]
    stored: bool
    """Whether the vectors of pictures are stored in a collection; else they were computed for this."""


@dataclass(frozen=True, slots=True)
class RetrievalComparison:
    """Retrieval quality of both sides for the same queries.

    Differences have 95 % intervals of a paired bootstrap, which resamples the same queries on both sides.
    """

    a: RetrievalMetrics
    b: RetrievalMetrics
    recall: ByK
    """R@k of ``b`` less that of ``a``."""
    mean_average_precision: Estimate
    """That of ``b`` less that of ``a``."""


@dataclass(frozen=True, slots=True)
class CompareReport:
    """Comparison of two encoders or collections."""

    a: ComparedSide
    b: ComparedSide
    images: Count
    """Number of images that both sides have."""
    captions: Count
    """Number of captions that both sides have."""
    text_to_image: RetrievalComparison | None
    image_to_text: RetrievalComparison | None
    left_out: UnusedCaptions = UnusedCaptions()  # noqa: RUF009 - it is frozen
    unreadable: Count = 0
    """Number of images that could not be read and encoded, and are left out of both sides."""
    reasons: tuple[Printable, ...] = ()
    """Why the first of them could not be."""
    interrupted: bool = False

    @property
    @json_member()
    def verdict(self) -> Better | None:
        """The better side by mean average precision of text → image; null where no difference is shown.

        The metric is fixed in advance because it uses all ranks; with one caption per image it is the mean of 1 / rank.
        """
        return None if self.text_to_image is None else better_side(self.text_to_image.mean_average_precision)
