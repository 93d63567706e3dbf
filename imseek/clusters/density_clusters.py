"""Density-based clusters: HDBSCAN on a five-dimensional UMAP embedding; images between clusters are noise.

In hundreds of dimensions, distances are nearly equal and density means little. On half A of the stamps, HDBSCAN on five
UMAP dimensions agreed with the folders at .36 (mutual information adjusted for chance), against .26 at best on
principal components or the raw vectors, with twice as much noise (bench/clusters.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.analysis.pca import principal_axes
from imseek.analysis.space_vectors import Vectors
from imseek.analysis.umap_layout import fit_layout
from imseek.clusters.kmeans_clusters import FITTING, Fit, sample_positions
from imseek.data.vectors.base import Ids
from imseek.data.vectors.kmeans import Labels, nearest_centres
from imseek.errors import MissingExtraError, UsageError
from imseek.progress import Task
from imseek.types.arrays import Float32

#: Images that are clustered; the others are assigned to the nearest centre.
SAMPLE: Final = 10_000
MIN_CLUSTER_SIZE: Final = 5
_DIMENSIONS: Final = 5
_NEIGHBOURS: Final = 15
#: Share of a cluster's own images that may lie farther from its centre than any image assigned later.
_OUTSIDE_SHARE: Final = 0.05


def fit(vectors: Vectors, smallest: int | None, seed: int, task: Task) -> Fit:
    """Find clusters of at least ``smallest`` images, by default max(5, √n / 4) for n clustered images.

    With more than SAMPLE images, only a sample is clustered. The others go to the nearest centre unless they are
    farther from it than 95 % of its own images. Raises UsageError, MissingExtraError, CorruptCollectionError,
    Cancelled.
    """
    if smallest is not None and not 2 <= smallest <= SAMPLE:
        raise UsageError(f"a group of {smallest:,} images is none", hint=f"from 2 to {SAMPLE}")
    at = sample_positions(len(vectors), SAMPLE, seed)
    rows = vectors.at(at)
    is_nonzero = rows.any(axis=1)
    at, rows = at[is_nonzero], rows[is_nonzero]
    size = smallest or max(MIN_CLUSTER_SIZE, round(len(rows) ** 0.5 / 4))
    description = f"in groups of {size} at least"
    task.step(FITTING, 0, None)
    label = _label_groups(rows, size, seed, task)
    k = int(label.max(initial=-1)) + 1
    centres = np.zeros((k, vectors.dim), np.float32)
    least = np.zeros(k, np.float32)
    for number in range(k):
        members = rows[label == number]
        mean = members.mean(axis=0)
        length = float(np.linalg.norm(mean))
        centres[number] = mean / length if length else members[0]
        least[number] = np.quantile(members @ centres[number], _OUTSIDE_SHARE)
    return Fit("density", centres, least, description, (at, label))


def _label_groups(rows: Float32, smallest: int, seed: int, task: Task) -> Ids:
    """Return the cluster of each row (n,), -1 for noise."""
    if len(rows) < max(2 * smallest, 2 * _DIMENSIONS):
        return np.full(len(rows), -1, np.int64)  # Too few for a cluster and anything outside it.
    try:
        from sklearn.cluster import HDBSCAN
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "sklearn":
            raise
        raise MissingExtraError("scikit-learn", "explore") from error
    positions, distances = _nearest(rows, min(_NEIGHBOURS, len(rows)) - 1)
    start = principal_axes([rows], rows.shape[1], _DIMENSIONS).project(rows)
    layout = fit_layout(positions, distances, start, 0.0, seed, task)
    min_samples = min(smallest, MIN_CLUSTER_SIZE)
    clusterer = HDBSCAN(min_cluster_size=smallest, min_samples=min_samples, copy=True).fit(layout)
    label: Ids = clusterer.labels_.astype(np.int64)
    return np.maximum(label, -1)


def _nearest(rows: Float32, k: int) -> tuple[Labels, Float32]:
    """Return the k nearest others of each row and their cosine distances, both (n, k), the nearest first."""
    numbers, cosines = nearest_centres(rows, rows, k + 1)
    # Of equal rows, any may come first, and a row itself may be missing: then the farthest is left out.
    is_self = numbers == np.arange(len(rows))[:, np.newaxis]
    is_self[~is_self.any(axis=1), -1] = True
    shape = (len(rows), k)
    return numbers[~is_self].reshape(shape), np.maximum(1 - cosines[~is_self].reshape(shape), 0)
