"""Clusters, outliers and representative samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import Cosine, Count, Json, Score, json_member
from imseek.types.pictures import ImagePlace

ClusterMethod: TypeAlias = Literal["k-means", "density"]
#: *knn*: mean distance to the nearest neighbours. *lof*: how much sparser the image's surroundings are than those of
#: its neighbours. *isolation*: how few random cuts isolate it.
OutlierMethod: TypeAlias = Literal["knn", "lof", "isolation"]
#: *k-centre* minimises the largest distance to the sample, *facility* the mean distance; *random* is a baseline.
SampleMethod: TypeAlias = Literal["k-centre", "facility", "random"]
#: A distance of vectors, 1 − cosine.
Distance: TypeAlias = Annotated[float, Json(digits=6, minimum=0)]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a list, such as a cluster, a sample or the outliers."""

    image_id: Count
    score: Score
    """Its meaning depends on the list that the image is in."""
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of similar images."""

    number: Count
    """Counts from 1, the largest cluster first; 0 is noise."""
    size: Annotated[int, Json(minimum=1)]
    """Number of images."""
    cohesion: Cosine | None
    """Mean cosine of the images to the centre."""
    separation: Annotated[float | None, Json(digits=6, minimum=-1, maximum=1)]
    """The simplified silhouette (Hruschka et al. 2004); null where there is no other cluster. It is the mean of
    (b − a) / max(a, b), where a and b are an image's distances (1 − cosine) to its own and the next centre."""
    neighbour: Annotated[int | None, Json(minimum=1)]
    """The cluster that is next for most images."""
    medoids: tuple[Shown, ...]
    """The most central image, then some that differ from it and each other; their score is the cosine to the centre."""
    name: str | None = None
    """The word that names it; null where none stands out."""
    contrast: Score | None = None
    """How much higher the best word scores here than elsewhere, in standard deviations; null where no words were
    compared, or where the images elsewhere are copies of each other."""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The clusters of a collection."""

    collection: Annotated[str, Json(hidden=True)]
    """The collection's UUID."""
    generation: Count
    """The generation that was read, or the one written if clusters were stored."""
    encoder: str
    """The encoder of the vectors."""
    method: ClusterMethod
    images: Count
    """Number of images that were clustered."""
    clusters: tuple[Cluster, ...]
    """Clusters, the largest first."""
    noise: Cluster | None
    """The images outside all clusters; null where there are none."""
    chosen: str
    """How the number of clusters was chosen."""
    saved: str | None = None
    """The name under which the clusters were stored; null where they were not."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssignReport:
    """The result of :func:`imseek.clusters.again`."""

    name: str
    """Name of the stored clusters."""
    generation: Count
    """The generation that was written, or the current one where there was nothing to do."""
    images: Count
    """Number of images that are assigned now."""
    added: Mapping[int, Annotated[int, Json(minimum=1)]] = field(default_factory=dict)
    """Number of new images by cluster; 0 is noise."""


@dataclass(frozen=True, slots=True)
class GroupWord:
    """The word that distinguishes a group from all other images."""

    text: str | None
    """None where no word stands out (``note`` says why)."""
    contrast: float | None
    """The same as in :class:`Cluster`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outlier:
    """An outlier, with the number of its copies."""

    image: Annotated[Shown, Json(inline=True)]
    copies: Count
    """Number of further images with the same vector."""


@dataclass(frozen=True, slots=True)
class OutlierReport:
    """Outliers of a collection. Only unique vectors are compared."""

    collection: Annotated[str, Json(hidden=True)]
    """The collection's UUID."""
    generation: Count
    """The generation that was read, or the one written if scores were stored."""
    encoder: str
    """The encoder of the vectors."""
    method: OutlierMethod
    images: Count
    """Number of images that were searched for outliers."""
    contents: Count
    """Number of unique vectors among the images."""
    neighbours: Count
    """Number of nearest neighbours that counted; 0 for ``isolation``."""
    outliers: Annotated[tuple[Shown, ...], Json(hidden=True)]
    """Outliers, strongest first."""
    typical: Score | None
    """The median score; null where there is none."""
    copies: Annotated[Mapping[int, int], Json(hidden=True)] = field(default_factory=dict)
    """Number of further images with the same vector by image id, where there are any."""
    saved: str | None = None
    """The name of the column that the scores were stored in; null where they were not."""
    notes: tuple[str, ...] = ()

    @property
    @json_member(Json(name="outliers"))
    def with_copies(self) -> tuple[Outlier, ...]:
        """Outliers, strongest first. The method ``knn`` scores them by a distance (1 − cosine) in [0, 2], ``lof`` by a
        ratio near 1 for typical images, ``isolation`` by a number in (0, 1)."""
        return tuple(Outlier(image, self.copies.get(image.image_id, 0)) for image in self.outliers)


@dataclass(frozen=True, slots=True)
class Representative:
    """An image of a sample, and how many it stands for."""

    image: Annotated[Shown, Json(inline=True)]
    weight: Count
    """Number of images nearest to it, itself included."""


@dataclass(frozen=True, slots=True)
class SampleReport:
    """A representative sample."""

    collection: Annotated[str, Json(hidden=True)]
    """The collection's UUID."""
    generation: Count
    """The generation that was read."""
    encoder: str
    """The encoder of the vectors."""
    method: SampleMethod
    images: Count
    """Number of images that the sample was chosen from."""
    chosen: Annotated[tuple[Shown, ...], Json(hidden=True)]
    """Images in the order of selection."""
    weights: Annotated[tuple[int, ...], Json(hidden=True)]
    """For each chosen image, the number of images nearest to it, itself included."""
    farthest: Distance | None
    """The largest distance (1 − cosine) of an image to the nearest in the sample; null where there is no image."""
    mean: Distance | None
    """The mean of these distances."""
    notes: tuple[str, ...] = ()

    @property
    @json_member()
    def sample(self) -> tuple[Representative, ...]:
        """Images in the order of selection; the score is the distance (1 − cosine) to those before (0 for the
        first)."""
        return tuple(Representative(image, weight) for image, weight in zip(self.chosen, self.weights, strict=True))
