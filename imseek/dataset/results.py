"""Reports on a collection as a dataset: quality, balance, leakage, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import Cosine, Count, Json, Score, Share, json_member
from imseek.types.pictures import ImagePlace

#: *blurred*: no sharp edge; *dark*: hardly any light; *bright*: largely overexposed; *empty*: almost no content.
QualityKind: TypeAlias = Literal["blurred", "dark", "bright", "empty"]
#: *exact*: the same bytes; *same*: the same picture.
LeakKind: TypeAlias = Literal["exact", "same"]
#: A share with all its digits.
ExactShare: TypeAlias = Annotated[float, Json(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True)
class RatedImage:
    """An image in a list with the values it is listed for."""

    image_id: Count
    place: ImagePlace
    values: Mapping[str, float]
    """Stored measures by name, or a cosine."""


@dataclass(frozen=True, slots=True)
class QualityList:
    """Images with one quality problem."""

    kind: QualityKind
    rule: str
    """The condition in ``--where`` syntax."""
    count: Count
    """Number of images that meet it."""
    worst: tuple[RatedImage, ...]
    """The first of them, worst first."""


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Quality lists of a collection."""

    images: Count
    """Number of images that were checked."""
    unknown: Count
    """Number of images without measures."""
    lists: tuple[QualityList, ...]
    generation: Count
    """The generation that was read."""
    saved: Annotated[str | None, Json(hidden=True)] = None
    """The name of the stored columns, if any."""


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The size of a class."""

    name: str
    count: Count
    share: ExactShare
    """Its share of all images."""
    duplicates: Count | None = None
    """Number of images with an equal or near-equal one in the same class; null where this was not checked."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Classes of images and how evenly they are spread. An image with several tags is in several classes."""

    by: str
    """``tag``, ``folder`` or the name of another column."""
    images: Count
    """Number of images that were counted."""
    without: Count
    """Number of images in no class."""
    classes: Annotated[tuple[ClassCount, ...], Json(name="counts")]
    """Classes, largest first."""
    effective: Annotated[float | None, Json(minimum=1)]
    """The number of equally large classes with the same diversity, the exponential of the entropy of class shares
    (Hill number of order 1); null without classes."""
    ratio: Annotated[float | None, Json(minimum=1)]
    """The largest class size over the smallest; null without classes."""
    generation: Count
    """The generation that was read."""
    notes: tuple[str, ...] = ()

    @property
    @json_member(Json(name="classes"))
    def class_count(self) -> Count:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class LeakImage:
    """An image of a leak."""

    split: str
    """The part that it belongs to."""
    image_id: Count
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class LeakGroup:
    """Images from several parts connected by duplicate pairs."""

    kind: LeakKind
    """The loosest of the pairs."""
    images: tuple[LeakImage, ...]
    confidence: Share = 1.0
    """That of the least sure of the pairs (docs/duplicates.md); 1 for the same file."""


@dataclass(frozen=True, slots=True)
class LeakCount:
    """How many images of one part have a duplicate in another."""

    split: str
    other: str
    exact: Count
    """Images of ``split`` whose bytes are in ``other``."""
    same: Count
    """Images of ``split`` of which only the picture is."""


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Duplicates shared between parts."""

    splits: Mapping[str, Count]
    """Number of images by part."""
    without: Count
    """Number of images in no part."""
    counts: tuple[LeakCount, ...]
    groups: tuple[LeakGroup, ...]
    """The largest group first; those against another collection as ``imseek duplicates`` orders them."""
    generation: Count
    """The generation that was read."""
    notes: tuple[str, ...] = ()
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class LackingGroup:
    """A group of similar images that the other collection lacks."""

    count: Count
    """Number of images."""
    images: tuple[RatedImage, ...]
    """Examples, most typical first."""


@dataclass(frozen=True, slots=True)
class CoverageSide:
    """What one collection has that the other lacks."""

    uuid: Annotated[str, Json(hidden=True)]
    images: Count
    asked: Count
    """Number of images that were compared; a sample if there are many."""
    generation: Count
    """The generation that was read."""
    threshold: Score | None
    """How strange to the other collection an image has to be (docs/dataset.md); null where that is too small to
    tell."""
    lacking: Count
    """Number of compared images that the other collection lacks."""
    nearest: Cosine | None
    """The median cosine of an image to its nearest in the other collection."""
    groups: tuple[LackingGroup, ...]
    """Groups of lacking images, largest first."""

    @property
    @json_member()
    def share(self) -> Share:
        """The lacking share of the compared images."""
        return self.lacking / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """Differences between two collections."""

    encoder: str
    """The encoder of the vectors."""
    expected: ExactShare
    """The share that would be listed if both were drawn from the same distribution."""
    a: Annotated[CoverageSide, Json(hidden=True)]
    """What the first has that the second lacks."""
    b: Annotated[CoverageSide, Json(hidden=True)]
    """What the second has that the first lacks."""
    mmd: float | None
    """The distance between the two distributions, 1000 × MMD² (docs/dataset.md); null with fewer than two images."""
    notes: tuple[str, ...] = field(default=())
    interrupted: bool = False
