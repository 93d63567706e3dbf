"""Results of evaluations, with confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.captions.results import UnusedCaptions
from imseek.metrics.estimate import Better, Estimate, better_side
from imseek.search.promised_cutoff import PromisedKind
from imseek.types.json_form import Count, Json, Printable, Score, Seconds, Share, json_member
from imseek.types.pictures import ImagePlace

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


@dataclass(frozen=True, slots=True)
class EncoderCost:
    """What an encoder costs on this machine, for the collection that it was tried on."""

    encoder: str
    precision: str
    """The precision in which pictures were encoded."""
    dim: Annotated[int, Json(minimum=1)]
    """Numbers in a vector."""
    images_per_second: Annotated[Score, Json(minimum=0)]
    """Pictures that are in memory, encoded on all processors."""
    texts_per_second: Annotated[float | None, Json(digits=6, minimum=0)]
    """Null for an encoder of pictures only."""
    collection_seconds: Seconds
    """Time for all images of the collection at that speed; reading and decoding large files takes longer."""
    vector_bytes: Count
    """Bytes of the vectors of all images of the collection, as they are stored (float16)."""


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An image of the sample."""

    image_id: Count
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class QueryDifference:
    """A query, and the best of the sample for it by each encoder."""

    text: Printable | None
    """The query, if it is a text."""
    image: SampleImage | None
    """The query, if it is an image; it is not among its own results."""
    overlap: Share
    """The share of the nearest images that both encoders have."""
    a: tuple[SampleImage, ...]
    b: tuple[SampleImage, ...]


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Two encoders side by side on a sample of a collection's pictures: cost, agreement, differences."""

    a: EncoderCost
    b: EncoderCost
    collection_images: Count
    images: Count
    """Number of images in the sample that could be read."""
    neighbours: Count
    """How many nearest images were compared for each query."""
    picture_overlap: Estimate
    """Mean share of an image's nearest images that both encoders have."""
    text_overlap: Estimate | None
    """The same for texts; null where an encoder knows no words."""
    chance: Share
    """The share that two encoders without anything in common would have."""
    captions: Count
    """Number of the sample's captions; with fewer than 20, nothing is said of quality."""
    text_to_image: RetrievalComparison | None
    """How well either finds the sample's pictures by their captions."""
    differences: tuple[QueryDifference, ...]
    """The queries on which they agree least: images first, then texts."""
    unreadable: Count = 0
    """Number of images of the sample that could not be read and encoded."""
    reasons: tuple[Printable, ...] = ()
    """Why the first of them could not be."""

    @property
    @json_member()
    def better(self) -> Better | None:
        """The one that finds more pictures by their captions; null where no difference is shown, or without any."""
        return None if self.text_to_image is None else better_side(self.text_to_image.mean_average_precision)

    @property
    @json_member()
    def faster(self) -> Better:
        """The one that encodes more pictures a second."""
        return "a" if self.a.images_per_second >= self.b.images_per_second else "b"


@dataclass(frozen=True, slots=True)
class CutoffPromise:
    """What a promise of the cutoff keeps on held-out queries."""

    promise: Share
    """The share of relevant images that may be lost, on average over queries."""
    loss: Share
    """The share that was lost: the mean over 20 random halves of the queries, of what the other half calibrated."""
    deviation: Share
    """Standard deviation of that over the halves."""
    length: Count
    """About how many images a list has."""


@dataclass(frozen=True, slots=True)
class CutoffKind:
    """The calibration for one kind of queries."""

    kind: PromisedKind
    """``auto``: words, compared with pictures and words; ``image``: words, with pictures alone; ``picture``:
    pictures."""
    queries: Count
    relevant: Count
    """Number of their relevant images."""
    promises: tuple[CutoffPromise, ...]


@dataclass(frozen=True, slots=True)
class CutoffReport:
    """Result of the calibration of ``--cutoff 10%``."""

    encoder: str
    generation: Count
    images: Count
    captions_from: CaptionOrigin
    kinds: tuple[CutoffKind, ...]
    left_out: UnusedCaptions = UnusedCaptions()  # noqa: RUF009 - it is frozen
    interrupted: bool = False
    """Whether it was stopped; nothing was stored then."""
    notes: tuple[str, ...] = ()
