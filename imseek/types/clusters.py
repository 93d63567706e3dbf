"""Clusters, outliers and representative samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.json_members import Count, Score
from imseek.types.pictures import ImagePlace

ClusterMethod: TypeAlias = Literal["k-means", "density"]
#: *knn*: mean distance to the nearest neighbours. *lof*: how much sparser the image's surroundings are than those of
#: its neighbours. *isolation*: how few random cuts isolate it.
OutlierMethod: TypeAlias = Literal["knn", "lof", "isolation"]
#: *k-centre* minimises the largest distance to the sample, *facility* the mean distance; *random* is a baseline.
SampleMethod: TypeAlias = Literal["k-centre", "facility", "random"]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a cluster or sample, or an outlier."""

    image_id: Count
    score: Score
    """Its meaning depends on the list that the image is in."""
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of similar images.

    ``number`` counts from 1, largest first; 0 is noise. ``cohesion`` is the mean cosine of the images to the centre.
    ``separation`` is the simplified silhouette, the mean of (b − a) / max(a, b), where a and b are an image's distances
    (1 − cosine) to its own and the next centre (Hruschka et al. 2004), from −1 to 1; None where there is no other
    cluster. ``neighbour`` is the cluster that is next for most images. ``medoids`` begin with the most central image,
    followed by images that differ from it and each other; their score is the cosine to the centre. ``name`` is None
    where no word stands out. ``contrast`` is how much higher the word scores here than elsewhere, in standard
    deviations.
    """

    number: int
    size: int
    cohesion: float | None
    separation: float | None
    neighbour: int | None
    medoids: tuple[Shown, ...]
    name: str | None = None
    contrast: float | None = None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The clusters of ``images`` images.

    ``chosen`` says how the number of clusters was chosen. ``noise`` holds images outside all clusters, None where there
    are none. ``saved`` is the name under which the clusters were stored.
    """

    collection: str
    generation: int
    encoder: str
    method: ClusterMethod
    images: int
    clusters: tuple[Cluster, ...]
    noise: Cluster | None
    chosen: str
    saved: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssignReport:
    """The result of :func:`imseek.clusters.again`: numbers of ``added`` images by cluster (0: none).

    ``generation`` is the one written, or the current one where there was nothing to do.
    """

    name: str
    generation: int
    images: int
    added: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupWord:
    """The word that distinguishes a group from all other images.

    ``text`` is None where none stands out (``note`` says why). ``contrast`` is as in :class:`Cluster`.
    """

    text: str | None
    contrast: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class OutlierReport:
    """Outliers of a collection, strongest first.

    Their score depends on ``method``: *knn* is a distance (1 − cosine) in [0, 2], *lof* a ratio near 1 for typical
    images, *isolation* is in (0, 1). Only the ``contents`` unique vectors among ``images`` are compared. ``typical`` is
    the median score, None where there is none. ``copies`` counts further images with the same vector, by id.
    ``neighbours`` is the k that was used.
    """

    collection: str
    generation: int
    encoder: str
    method: OutlierMethod
    images: int
    contents: int
    neighbours: int
    outliers: tuple[Shown, ...]
    typical: float | None
    copies: Mapping[int, int] = field(default_factory=dict)
    saved: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleReport:
    """A representative sample.

    ``chosen`` is in order of selection; the score is the distance (1 − cosine) to the images chosen before (0 for the
    first). ``weights`` count, for each chosen image, the images nearest to it, itself included. ``farthest`` and
    ``mean`` are the largest and the mean distance of all images to the nearest in the sample; None where there is no
    image.
    """

    collection: str
    generation: int
    encoder: str
    method: SampleMethod
    images: int
    chosen: tuple[Shown, ...]
    weights: tuple[int, ...]
    farthest: float | None
    mean: float | None
    notes: tuple[str, ...] = ()
