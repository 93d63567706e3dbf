"""What a collection is made of, as a set of data: quality, balance, leaks, and what it lacks beside another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.duplicates import DuplicateKind
from imseek.types.pictures import Place

#: *blurred*: no sharp edge; *dark*: hardly any light; *bright*: much of it burnt out; *empty*: nearly nothing on it.
QualityKind: TypeAlias = Literal["blurred", "dark", "bright", "empty"]


@dataclass(frozen=True, slots=True)
class Rated:
    """An image of a list, with what it is listed for: stored measures by name, or a cosine."""

    image_id: int
    place: Place | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class QualityList:
    """``rule`` says in the words of ``--where`` which images are listed; ``count`` is how many, ``worst`` the first of
    them, the worst first."""

    kind: QualityKind
    rule: str
    count: int
    worst: tuple[Rated, ...]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """``images`` were asked about; of ``unknown`` nothing is measured. ``saved`` names what was stored, if anything."""

    images: int
    unknown: int
    lists: tuple[QualityList, ...]
    generation: int
    saved: str | None = None


@dataclass(frozen=True, slots=True)
class MeasureReport:
    """Of ``images`` live ones, ``missing`` had no measures; ``measured`` have now; ``unreadable`` could not be read."""

    images: int
    missing: int
    measured: int
    unreadable: int
    seconds: float
    generation: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ClassCount:
    """``share`` of all images asked about; ``duplicates``: how many of the images have an equal or near-equal one in
    the class too, None where nobody looked."""

    name: str
    count: int
    share: float
    duplicates: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Classes, the largest first; ``without``: images in none. An image with several tags is in several classes.

    ``effective`` is the exponential of the entropy of the classes' shares (Hill's number of order 1): as many classes
    of equal size would be as mixed. ``ratio`` is the size of the largest over that of the smallest; None without
    classes.
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
    """``split`` is which part it belongs to."""

    split: str
    image_id: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class LeakGroup:
    """Images of more than one part that are tied by pairs; ``kind`` is the loosest of the pairs."""

    kind: DuplicateKind
    images: tuple[LeakImage, ...]


@dataclass(frozen=True, slots=True)
class LeakCount:
    """Of the images of ``split``, how many have the same bytes (``exact``), or else the same picture (``same``), in
    ``other``."""

    split: str
    other: str
    exact: int
    same: int


@dataclass(frozen=True, slots=True)
class LeakReport:
    """``splits``: how many images each part has. ``without``: images in no part."""

    splits: Mapping[str, int]
    without: int
    counts: tuple[LeakCount, ...]
    groups: tuple[LeakGroup, ...]
    generation: int
    notes: tuple[str, ...] = ()
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class LackingGroup:
    """Images that are alike: how many, and those that stand for them, the most typical first."""

    count: int
    images: tuple[Rated, ...]


@dataclass(frozen=True, slots=True)
class CoverageSide:
    """What one collection has that the other lacks: of its ``images`` so many were ``asked`` about (a sample, of very
    many), and ``lacking`` of these are stranger to the other than
    ``threshold`` (:mod:`imseek.explore.statistics.coverage`), None where the other has too few to tell. ``nearest`` is
    the median of the cosines of images with their nearest in the other."""

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
        return self.lacking / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """``a``: what the first has that the second lacks; ``b``: the other way. ``expected`` is the share that would be
    listed if both were drawn from the same. ``mmd`` is the distance of the two as distributions (docs/dataset.md)."""

    encoder: str
    expected: float
    a: CoverageSide
    b: CoverageSide
    mmd: float | None
    notes: tuple[str, ...] = field(default=())
    interrupted: bool = False
