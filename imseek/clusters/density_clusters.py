"""Density-based clusters: HDBSCAN on a five-dimensional UMAP embedding; images between clusters are noise.

In hundreds of dimensions, distances are nearly equal and density means little. On half A of the stamps, HDBSCAN on five
UMAP dimensions agreed with the folders at .36 (mutual information adjusted for chance), against .26 at best on
principal components or the raw vectors, with twice as much noise (bench/clusters.py).
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.clusters.kmeans_clusters import FITTING, Fit, sample_positions
from imseek.data.vectors.base import Ids
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

    Of more than SAMPLE images, only a sample is clustered. The others go to the nearest centre unless they are farther
    from it than 95 % of its own images. Raises UsageError, MissingExtraError, CorruptCollectionError, Cancelled.
    """
    if smallest is not None and not 2 <= smallest <= SAMPLE:
        raise UsageError(f"a group of {smallest:,} images is none", hint=f"from 2 to {SAMPLE}")
    at = sample_positions(len(vectors), SAMPLE, seed)
    rows = vectors.at(at)
    full = rows.any(axis=1)
    at, rows = at[full], rows[full]
    size = smallest or max(MIN_CLUSTER_SIZE, round(len(rows) ** 0.5 / 4))
    said = f"in groups of {size} at least"
    task.step(FITTING, 0, None)
    label = _label_groups(rows, size, seed)
    k = int(label.max(initial=-1)) + 1
    centres = np.zeros((k, vectors.dim), np.float32)
    least = np.zeros(k, np.float32)
    for number in range(k):
        members = rows[label == number]
        mean = members.mean(axis=0)
        length = float(np.linalg.norm(mean))
        centres[number] = mean / length if length else members[0]
        least[number] = np.quantile(members @ centres[number], _OUTSIDE_SHARE)
    return Fit("density", centres, least, said, (at, label))


def _label_groups(rows: Float32, smallest: int, seed: int) -> Ids:
    """Return the cluster of each row (n,), -1 for noise."""
    if len(rows) < max(2 * smallest, 2 * _DIMENSIONS):
        return np.full(len(rows), -1, np.int64)  # Too few for a cluster and anything outside it.
    try:
        with warnings.catch_warnings():
            # Numba warns about threading layers, UMAP about the single thread that a seed implies and about
            # disconnected vertices.
            warnings.simplefilter("ignore")
            from sklearn.cluster import HDBSCAN
            from umap import UMAP

            layout = UMAP(
                n_components=_DIMENSIONS,
                n_neighbors=min(_NEIGHBOURS, len(rows) - 1),
                min_dist=0.0,
                metric="cosine",
                init="pca",
                random_state=seed,
                n_jobs=1,
            ).fit_transform(rows)
            found = HDBSCAN(
                min_cluster_size=smallest, min_samples=min(smallest, MIN_CLUSTER_SIZE), copy=True
            ).fit(layout)
    except ModuleNotFoundError as error:
        extra = {"umap": "umap-learn", "sklearn": "scikit-learn"}.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(extra, "explore") from error
    label: Ids = found.labels_.astype(np.int64)
    return np.maximum(label, -1)
