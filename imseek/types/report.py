"""A one-page report on a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imseek.types.clusters import ClusterReport, OutlierReport
from imseek.types.dataset import QualityReport
from imseek.types.duplicates import DuplicateReport
from imseek.types.facts import CollectionInfo

#: Names with their number of images, most frequent first.
Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ValueDistribution:
    """Distribution of values: ``counts`` of images in the intervals between ``edges`` (one more), the last edge
    included."""

    edges: Sequence[float]
    counts: Sequence[int]
    median: float | None


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """Statistics of the live images.

    Formats, cameras and years; image size (megapixels) and file size (bytes, with the total); brightness (mean
    luminance, 0 … 1); tags. ``having`` counts images that have a date, a camera, a position, a caption, a tag.
    """

    images: int
    formats: Counts
    cameras: Counts
    years: Counts
    megapixels: ValueDistribution
    bytes: ValueDistribution
    total_bytes: int
    light: ValueDistribution
    tags: Counts
    having: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """A report on a collection. Sections that were left out or failed are None, and ``notes`` say why."""

    info: CollectionInfo
    contents: CollectionStatistics
    quality: QualityReport | None
    clusters: ClusterReport | None
    outliers: OutlierReport | None
    duplicates: DuplicateReport | None
    captions_embedded: int | None
    notes: tuple[str, ...] = ()
    interrupted: bool = False
