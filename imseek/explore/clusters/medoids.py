"""What is to be said of clusters: how close their images lie, which ones stand for them, which cluster is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from imseek.data.snapshot_progress import Telling
from imseek.data.vectors.base import Ids
from imseek.explore.clusters.kmeans_clusters import Assigned, some
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32

DESCRIBING: Final = "describing clusters"
#: The most central image, and so many more that differ from it.
MEDOIDS: Final = 5
#: Images that these are chosen from.
_CANDIDATES: Final = 256
#: Among the half that is nearest to the centre: what lies at the edge stands for nothing.
_INNER: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Of one cluster. ``medoids`` are positions, the most central one first. As :class:`imseek.types.Cluster`."""

    size: int
    cohesion: float
    separation: float | None
    neighbour: int | None
    medoids: Ids


def members_of(label: Ids, k: int) -> list[Ids]:
    """Positions of the images of each of ``k`` clusters, ascending."""
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(k + 1))
    return [order[start:end] for start, end in pairwise(bounds)]


def describe(
    vectors: Vectors, found: Assigned, members: Sequence[Ids], seed: int, telling: Telling
) -> list[Facts]:
    """Of each cluster, none of them empty. Raises InterruptedError."""
    out = []
    for number, mine in enumerate(members):
        telling.tell(DESCRIBING, number, len(members))
        own, other, beside = found.own[mine], found.other[mine], found.next[mine]
        beside, near, far = beside[beside >= 0], 1 - own[beside >= 0], 1 - other[beside >= 0]
        separation = neighbour = None
        if len(beside):
            # Rounding leaves a distance of an image to itself a little off 0.
            larger = np.maximum(np.maximum(near, far), 1e-6)
            separation = float(np.mean((far - near) / larger, dtype=np.float64))
            neighbour = int(np.bincount(beside).argmax())
        medoids = _medoids(vectors, mine, own, seed + number)
        out.append(Facts(len(mine), float(own.mean(dtype=np.float64)), separation, neighbour, medoids))
    return out


def _medoids(vectors: Vectors, members: Ids, own: Float32, seed: int) -> Ids:
    """The image with the highest mean cosine to all members, which is that with the highest one to their mean; then
    each time the one that is farthest from those before (Gonzalez 1985)."""
    central = members[int(own.argmax())]
    inner = members[own >= np.quantile(own, _INNER)]
    inner = np.union1d(inner[some(len(inner), _CANDIDATES, seed)], [central])
    rows = vectors.at(inner)
    chosen = [int(np.searchsorted(inner, central))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < MEDOIDS:
        farthest = int(nearest.argmin())
        if nearest[farthest] > 1 - 1e-5:  # All that is left are copies.
            break
        chosen.append(farthest)
        np.maximum(nearest, rows @ rows[farthest], out=nearest)
    return inner[chosen]
