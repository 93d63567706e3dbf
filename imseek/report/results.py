"""A one-page report on a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imseek.clusters.results import ClusterReport, OutlierReport
from imseek.dataset.results import QualityReport
from imseek.duplicates.results import DuplicateReport
from imseek.types.collection_info import CollectionInfo

#: Names with their number of images, most frequent first.
Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ValueDistribution:
    """The distribution of a value over images."""

    edges: Sequence[float]
    """Edges of the intervals, one more than there are intervals."""
    counts: Sequence[int]
    """Number of images in each interval; the last edge is in the last one."""
    median: float | None


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """Statistics of the live images."""

    images: int
    formats: Counts
    cameras: Counts
    years: Counts
    megapixels: ValueDistribution
    bytes: ValueDistribution
    """File sizes."""
    total_bytes: int
    light: ValueDistribution
    """Mean luminance, 0 … 1."""
    tags: Counts
    having: Mapping[str, int]
    """Number of images that have a date, a camera, a position, a caption, a tag."""


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
