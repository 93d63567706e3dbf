"""All that can be said of a collection on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imseek.types.clusters import ClusterReport, OutlierReport
from imseek.types.dataset import QualityReport
from imseek.types.duplicates import DuplicateReport
from imseek.types.facts import CollectionInfo

#: Names with how many images have them, the most first.
Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread: ``counts`` of images between each two of ``edges`` (one more), the last included."""

    edges: Sequence[float]
    counts: Sequence[int]
    median: float | None


@dataclass(frozen=True, slots=True)
class Contents:
    """Of the live images: their formats, cameras and years, sizes of pictures (megapixels) and of files (bytes, with
    their sum), light (mean luminance, 0 … 1), tags; how many have a date, a camera, a position, a caption, a tag."""

    images: int
    formats: Counts
    cameras: Counts
    years: Counts
    megapixels: Spread
    bytes: Spread
    total_bytes: int
    light: Spread
    tags: Counts
    having: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What was left out, or could not be found out, is None, and ``notes`` say why."""

    info: CollectionInfo
    contents: Contents
    quality: QualityReport | None
    clusters: ClusterReport | None
    outliers: OutlierReport | None
    duplicates: DuplicateReport | None
    captions_embedded: int | None
    notes: tuple[str, ...] = ()
    interrupted: bool = False
