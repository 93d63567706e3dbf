"""Reports on a collection as a dataset: quality, balance, leakage, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.duplicates import DuplicateKind
from imseek.types.json_members import Count, Seconds
from imseek.types.pictures import Place

#: *blurred*: no sharp edge; *dark*: hardly any light; *bright*: largely overexposed; *empty*: almost no content.
QualityKind: TypeAlias = Literal["blurred", "dark", "bright", "empty"]


@dataclass(frozen=True, slots=True)
class RatedImage:
    """An image in a list with the values it is listed for: stored measures by name, or a cosine."""

    image_id: int
    place: Place | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class QualityList:
    """Images with one quality problem.

    ``rule`` is the condition in ``--where`` syntax; ``count`` is the number of matches; ``worst`` are the first, worst
    first.
    """

    kind: QualityKind
    rule: str
    count: int
    worst: tuple[RatedImage, ...]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Quality lists of ``images`` images.

    ``unknown`` images have no measures. ``saved`` names the stored columns, if any.
    """

    images: int
    unknown: int
    lists: tuple[QualityList, ...]
    generation: int
    saved: str | None = None


@dataclass(frozen=True, slots=True)
class MeasureReport:
    """The result of measuring images."""

    images: Count
    """Live images."""
    missing: Count
    """Those without measures before."""
    measured: Count
    """Those that have measures now."""
    unreadable: Count
    """Those that could not be read, or have changed."""
    seconds: Seconds
    generation: Count
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Size of a class, with its ``share`` of all images.

    ``duplicates`` counts images with an equal or near-equal one in the same class, None where this was not checked.
    """

    name: str
    count: int
    share: float
    duplicates: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Classes, largest first; ``without`` counts images in no class. An image with several tags is in several classes.

    ``effective`` is the exponential of the entropy of class shares (Hill number of order 1): the number of equally
    large classes with the same diversity. ``ratio`` is the largest class size over the smallest; None without classes.
    """

    by: str
    images: int
    without: int
    classes: tuple[ClassCount, ...]
    effective: float | None
    ratio: float | None
    generation: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeakImage:
    """An image of a leak; ``split`` is the part it belongs to."""

    split: str
    image_id: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class LeakGroup:
    """Images from several parts connected by duplicate pairs; ``kind`` is the loosest of the pairs."""

    kind: DuplicateKind
    images: tuple[LeakImage, ...]


@dataclass(frozen=True, slots=True)
class LeakCount:
    """How many images of ``split`` have a duplicate in ``other``: the same bytes (``exact``), or else the same image
    (``same``)."""

    split: str
    other: str
    exact: int
    same: int


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Duplicates shared between parts. ``splits``: images per part. ``without``: images in no part."""

    splits: Mapping[str, int]
    without: int
    counts: tuple[LeakCount, ...]
    groups: tuple[LeakGroup, ...]
    generation: int
    notes: tuple[str, ...] = ()
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class LackingGroup:
    """A group of similar images: their number, and examples, most typical first."""

    count: int
    images: tuple[RatedImage, ...]


@dataclass(frozen=True, slots=True)
class CoverageSide:
    """What one collection has that the other lacks.

    Of its ``images``, ``asked`` were compared (a sample if there are many), and ``lacking`` of these exceed
    ``threshold`` (:mod:`imseek.explore.statistics.coverage`), None where the other collection is too small for one.
    ``nearest`` is the median cosine of an image to its nearest in the other.
    """

    uuid: str
    images: int
    asked: int
    generation: int
    threshold: float | None
    lacking: int
    nearest: float | None
    groups: tuple[LackingGroup, ...]

    @property
    def share(self) -> float:
        """The lacking share of the compared images."""
        return self.lacking / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """Differences between two collections.

    ``a``: what the first has that the second lacks; ``b``: the reverse. ``expected`` is the share that would be listed
    if both were drawn from the same distribution. ``mmd`` is the distance between the two distributions
    (docs/dataset.md).
    """

    encoder: str
    expected: float
    a: CoverageSide
    b: CoverageSide
    mmd: float | None
    notes: tuple[str, ...] = field(default=())
    interrupted: bool = False
