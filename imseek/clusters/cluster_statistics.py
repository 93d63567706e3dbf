"""Statistics of clusters: cohesion, separation, nearest cluster, and representative images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.clusters.kmeans_clusters import Assignment, sample_positions
from imseek.data.vectors.base import Ids
from imseek.progress import Task
from imseek.types.arrays import Float32

DESCRIBING: Final = "describing clusters"
#: The most central image, plus images that differ from it.
MEDOID_COUNT: Final = 5
#: Images from which these are chosen.
_CANDIDATES: Final = 256
#: Only the half nearest to the centre qualifies: images at the edge are not representative.
_CENTRAL_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ClusterStatistics:
    """Statistics of one cluster, as in :class:`imseek.clusters.results.Cluster`; ``medoids`` are positions, most
    central first."""

    size: int
    cohesion: float
    separation: float | None
    neighbour: int | None
    medoids: Ids


def members_of(label: Ids, k: int) -> list[Ids]:
    """Return the positions of the images of each of ``k`` clusters, ascending."""
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(k + 1))
    return [order[start:end] for start, end in pairwise(bounds)]


def describe_clusters(
    vectors: Vectors, assignment: Assignment, members: Sequence[Ids], seed: int, task: Task
) -> list[ClusterStatistics]:
    """Compute the statistics of each cluster. A cluster must not be empty. Raises Cancelled."""
    statistics = []
    for number, positions in enumerate(members):
        task.step(DESCRIBING, number, len(members))
        own_cosine, other_cosine, beside = (
            assignment.own[positions],
            assignment.other[positions],
            assignment.next[positions],
        )
        beside, near, far = beside[beside >= 0], 1 - own_cosine[beside >= 0], 1 - other_cosine[beside >= 0]
        separation = neighbour = None
        if len(beside):
            # Rounding leaves the distance of an image to itself slightly off 0.
            larger = np.maximum(np.maximum(near, far), 1e-6)
            separation = float(np.mean((far - near) / larger, dtype=np.float64))
            neighbour = int(np.bincount(beside).argmax())
        medoids = _find_medoids(vectors, positions, own_cosine, seed + number)
        statistics.append(
            ClusterStatistics(len(positions), float(own_cosine.mean(dtype=np.float64)), separation, neighbour, medoids)
        )
    return statistics


def _find_medoids(vectors: Vectors, members: Ids, own_cosine: Float32, seed: int) -> Ids:
    """Choose the image with the highest mean cosine to all members, then repeatedly the one farthest from those chosen.

    The first is the image closest to the mean; the rest follow Gonzalez 1985.
    """
    central = members[int(own_cosine.argmax())]
    inner = members[own_cosine >= np.quantile(own_cosine, _CENTRAL_SHARE)]
    inner = np.union1d(inner[sample_positions(len(inner), _CANDIDATES, seed)], [central])
    rows = vectors.at(inner)
    medoids = [int(np.searchsorted(inner, central))]
    closeness = rows @ rows[medoids[0]]
    while len(medoids) < MEDOID_COUNT:
        farthest = int(closeness.argmin())
        if closeness[farthest] > 1 - 1e-5:  # Only copies are left.
            break
        medoids.append(farthest)
        np.maximum(closeness, rows @ rows[farthest], out=closeness)
    return inner[medoids]
