"""Spherical k-means by FAISS (Dhillon and Modha 2001): centres are unit vectors, similarity is the cosine."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.faiss_threads import at_most_threads
from imseek.errors import MissingExtraError
from imseek.types.arrays import Float32

Labels: TypeAlias = npt.NDArray[np.int64]

ITERATIONS: Final = 20
#: Restarts, by the maximum number of multiplications: k-means may miss the best solution, and often does with few rows.
_RESTARTS: Final = ((5e8, 10), (1e10, 3))

#: Up to this many multiplications, threads cost more than they save: they wait for each other in every iteration.
_COST_OF_ONE_THREAD: Final = 1e10


def centres_of(rows: Float32, k: int, *, seed: int = 0, iterations: int = ITERATIONS) -> Float32:
    """Return k centres of unit ``rows`` (n, dim): (k, dim) float32 unit rows. At least k rows must differ; 1 ≤ k ≤ n.

    All rows are used, so pass a sample of large sets. The same seed, rows and number of threads give the same centres.
    Raises MissingExtraError.
    """
    faiss = _faiss()
    assert 1 <= k <= len(rows)
    rows = np.ascontiguousarray(rows, np.float32)
    clustering = faiss.Clustering(rows.shape[1], k)
    clustering.spherical = True
    clustering.niter = iterations
    cost = rows.size * k * iterations
    clustering.nredo = next((starts for most, starts in _RESTARTS if cost <= most), 1)
    clustering.seed = seed % (1 << 30) + 1
    # Use all rows: by default FAISS would subsample them, or complain of too few.
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = len(rows)
    with at_most_threads(1) if cost <= _COST_OF_ONE_THREAD else nullcontext():
        clustering.train(rows, faiss.IndexFlatIP(rows.shape[1]))
    centres: Float32 = faiss.vector_to_array(clustering.centroids).reshape(k, rows.shape[1]).copy()
    return centres


def nearest_centres(rows: Float32, centres: Float32, count: int = 2) -> tuple[Labels, Float32]:
    """Return numbers and cosines of the centres nearest to each of ``rows``, both (n, count), the nearest first.

    ``count`` is reduced to the number of centres. Raises MissingExtraError.
    """
    faiss = _faiss()
    count = min(count, len(centres))
    cosines, numbers = faiss.knn(
        np.ascontiguousarray(rows, np.float32),
        np.ascontiguousarray(centres, np.float32),
        count,
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    return numbers, np.clip(cosines, -1, 1)


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        raise MissingExtraError("faiss", "cpu") from error
    return faiss
