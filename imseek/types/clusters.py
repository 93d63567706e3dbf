"""Groups of images that are alike, images that are like no others, and samples that stand for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.pictures import Place

ClusterMethod: TypeAlias = Literal["k-means", "density"]
#: *knn*: the mean distance to the nearest neighbours. *lof*: how much sparser an image lies than its neighbours.
#: *isolation*: how few random cuts set it apart.
OutlierMethod: TypeAlias = Literal["knn", "lof", "isolation"]
#: *k-centre* makes the largest distance to the sample small, *facility* the mean one; *random* is for comparison.
SampleMethod: TypeAlias = Literal["k-centre", "facility", "random"]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a cluster or a sample, or an outlier. What ``score`` is, the report says."""

    image_id: int
    score: float
    place: Place | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are alike.

    ``number`` counts from 1, the largest first; 0 is what belongs to no cluster (*noise*). ``cohesion`` is the mean
    cosine of the images to the centre. ``separation`` is the mean of (b − a) / max(a, b), where a and b are the
    distances of an image (1 − cosine) to its own centre and to the next one: the simplified silhouette (Hruschka et
    al. 2004), from −1 to 1; None where there is no other cluster. ``neighbour`` is the number of the cluster that is
    next for most images. ``medoids`` has the most central image first, then images that differ from it and from each
    other; their score is the cosine to the centre. ``name`` is None where no word stands out; ``contrast`` is how far
    the word scores higher here than elsewhere, in standard deviations.
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
    """``images`` were looked at; ``chosen`` says how the number of clusters came about. ``noise`` holds what is in no
    cluster, None where all are in one. ``saved`` is the name under which it was stored."""

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
    """What :func:`imseek.clusters.again` did: ``added`` images, by the number of the cluster that they went to (0: to
    none). ``generation`` is that afterwards, the one before where there was nothing to do."""

    name: str
    generation: int
    images: int
    added: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupWord:
    """``text`` is the word that tells a group from all other images, None where none stands out (``note`` says why).
    ``contrast`` is how far it stands out, as of :class:`Cluster`."""

    text: str | None
    contrast: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class OutlierReport:
    """``outliers`` come first for the strangest; their score is that of the ``method``: *knn* a distance (1 − cosine)
    in [0, 2], *lof* a ratio near 1 for what is usual, *isolation* in (0, 1). ``images`` were looked at, ``contents``
    of them differ: only those are compared. ``typical`` is the median score, None where there is none. ``copies``
    has, by id, how many more images of the same vector there are. ``neighbours`` is how many counted."""

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
    """``chosen`` in the order in which they were taken; the score of one is its distance (1 − cosine) to those taken
    before it when it was taken (0 for the first), and its weight in ``weights`` how many of all images are nearest to
    it, itself counted. ``farthest`` and ``mean`` are the distances of all images to the nearest one of the sample,
    the largest and the mean; None where there is no image."""

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
