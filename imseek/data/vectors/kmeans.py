"""Spherical k-means by FAISS (Dhillon and Modha 2001): centres are unit vectors, nearness is the cosine."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.errors import MissingExtraError
from imseek.types import Float32

Labels: TypeAlias = npt.NDArray[np.int64]

ITERATIONS: Final = 20
#: How often it is begun anew, up to so many products of numbers: k-means may end beside the best, and often does among
#: few rows.
_STARTS: Final = ((5e8, 10), (1e10, 3))


def centres_of(rows: Float32, k: int, *, seed: int = 0, iterations: int = ITERATIONS) -> Float32:
    """(k, dim) float32 unit rows: centres of ``rows`` (n, dim), unit rows of which at least k differ; 1 ≤ k ≤ n.

    All rows are used, so give it a sample of many. The same seed, rows and number of threads give the same centres.
    Raises MissingExtraError.
    """
    faiss = _faiss()
    assert 1 <= k <= len(rows)
    rows = np.ascontiguousarray(rows, np.float32)
    clustering = faiss.Clustering(rows.shape[1], k)
    clustering.spherical = True
    clustering.niter = iterations
    cost = rows.size * k * iterations
    clustering.nredo = next((starts for most, starts in _STARTS if cost <= most), 1)
    clustering.seed = seed % (1 << 30) + 1
    # All rows count: FAISS would leave some out, or complain of too few, without being asked.
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = len(rows)
    clustering.train(rows, faiss.IndexFlatIP(rows.shape[1]))
    centres: Float32 = faiss.vector_to_array(clustering.centroids).reshape(k, rows.shape[1]).copy()
    return centres


def nearest(rows: Float32, centres: Float32, count: int = 2) -> tuple[Labels, Float32]:
    """Of the ``count`` centres (or fewer, where there are fewer) that are nearest to each of ``rows``, the numbers
    and the cosines, both (n, count), the nearest first. Raises MissingExtraError."""
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
