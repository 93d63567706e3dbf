"""Clusters by density: HDBSCAN over a layout in five dimensions by UMAP; what lies between the groups is noise.

Density means little among hundreds of dimensions, where all distances are about the same. On half A of the stamps,
HDBSCAN over five dimensions of UMAP agreed with the folders by .36 (mutual information adjusted for chance), over
principal components or the vectors themselves by .26 at best, with twice as much noise (bench/clusters.py).
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from imseek.data.snapshot_progress import Telling
from imseek.data.vectors.base import Ids
from imseek.errors import MissingExtraError, UsageError
from imseek.explore.clusters.kmeans_clusters import FITTING, Fit, some
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32

#: Images that are looked at; the others follow.
SAMPLE: Final = 10_000
SMALLEST: Final = 5
_DIMENSIONS: Final = 5
_NEIGHBOURS: Final = 15
#: Of a cluster's own images, the share that may lie farther from its centre than any that follow.
_BEYOND: Final = 0.05


def fit(vectors: Vectors, smallest: int | None, seed: int, telling: Telling) -> Fit:
    """Groups of at least ``smallest`` images (without it, a quarter of the root of how many are looked at, 5 at
    least).

    Of more than SAMPLE images so many are looked at, and the others go to the nearest centre, unless they are farther
    from it than all but a twentieth of its own. Raises UsageError, MissingExtraError, CorruptCollectionError,
    InterruptedError.
    """
    if smallest is not None and not 2 <= smallest <= SAMPLE:
        raise UsageError(f"a group of {smallest:,} images is none", hint=f"from 2 to {SAMPLE}")
    at = some(len(vectors), SAMPLE, seed)
    rows = vectors.at(at)
    full = rows.any(axis=1)
    at, rows = at[full], rows[full]
    size = smallest or max(SMALLEST, round(len(rows) ** 0.5 / 4))
    said = f"in groups of {size} at least"
    telling.tell(FITTING, 0, None)
    label = _groups(rows, size, seed)
    k = int(label.max(initial=-1)) + 1
    centres = np.zeros((k, vectors.dim), np.float32)
    least = np.zeros(k, np.float32)
    for number in range(k):
        members = rows[label == number]
        mean = members.mean(axis=0)
        length = float(np.linalg.norm(mean))
        centres[number] = mean / length if length else members[0]
        least[number] = np.quantile(members @ centres[number], _BEYOND)
    return Fit("density", centres, least, said, (at, label))


def _groups(rows: Float32, smallest: int, seed: int) -> Ids:
    """(n,): the group of each row, -1 for none."""
    if len(rows) < max(2 * smallest, 2 * _DIMENSIONS):
        return np.full(len(rows), -1, np.int64)  # Too few for one group and something beside it.
    try:
        with warnings.catch_warnings():
            # Numba tells of threading layers, UMAP of one thread where there is a seed, and of what hangs apart.
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
            found = HDBSCAN(min_cluster_size=smallest, min_samples=min(smallest, SMALLEST), copy=True).fit(
                layout
            )
    except ModuleNotFoundError as error:
        extra = {"umap": "umap-learn", "sklearn": "scikit-learn"}.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(extra, "explore") from error
    label: Ids = found.labels_.astype(np.int64)
    return np.maximum(label, -1)
