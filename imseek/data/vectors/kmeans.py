"""Spherical k-means (Dhillon and Modha 2001): centres are unit vectors, similarity is the cosine.

By Lloyd's algorithm (1982): FAISS's, with restarts, for few centres or rows, and ours for many, where all time goes
into products of matrices: FAISS's wheels have a BLAS of 2021, which on newer processors takes four times as long as
NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.vectors import require_faiss
from imseek.data.vectors.faiss_threads import at_most_threads
from imseek.data.vectors.scores import largest
from imseek.types.arrays import Float32

Labels: TypeAlias = npt.NDArray[np.int64]

ITERATIONS: Final = 20
#: Restarts, by the maximum number of multiplications: k-means may miss the best solution, and often does with few rows.
_RESTARTS: Final = ((5e8, 10), (1e10, 3))

#: Up to this many multiplications, threads cost more than they save: they wait for each other in every iteration.
_COST_OF_ONE_THREAD: Final = 1e10

#: Least numbers of centres and rows that are trained by NumPy's products.
_MANY: Final = 512
_MANY_ROWS: Final = 20_000
#: Maximum rows, and products of rows with centres, in memory at the same time.
_ROWS: Final = 4096
_PRODUCTS: Final = 1 << 23
#: Each row is compared with all centres where these are fewer, and while training on fewer rows than these.
_GROUPED: Final = 2048
GROUPED_ROWS: Final = 1 << 16
#: Otherwise with this share of them; iterations of k-means that make the groups.
_COMPARED: Final = 3 / 8
_GROUP_ITERATIONS: Final = 8
#: Rows between two reports.
_REPORT_ROWS: Final = 1 << 15


def centres_of(
    rows: Float32,
    k: int,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
    report: Callable[[float], None] | None = None,
) -> Float32:
    """Return k centres of unit ``rows`` (n, dim): (k, dim) float32 unit rows. At least k rows must differ; 1 ≤ k ≤ n.

    All rows are used, so pass a sample of large sets. The same seed, rows and number of threads give the same centres.
    ``report`` receives the share that is done, several times a second if training takes long, and raises to stop.
    Raises MissingExtraError.
    """
    assert 1 <= k <= len(rows)
    rows = np.ascontiguousarray(rows, np.float32)
    report = report or (lambda share: None)
    report(0.0)
    is_large = k >= _MANY and len(rows) >= _MANY_ROWS
    centres = _train_many(rows, k, seed, iterations, report) if is_large else _train_few(rows, k, seed, iterations)
    report(1.0)
    return centres


def _train_few(rows: Float32, k: int, seed: int, iterations: int) -> Float32:
    faiss = _faiss()
    dim = rows.shape[1]
    cost = rows.size * k * iterations
    parameters = faiss.ClusteringParameters()
    parameters.spherical = True
    parameters.niter = iterations
    parameters.nredo = next((starts for most, starts in _RESTARTS if cost <= most), 1)
    parameters.seed = seed % (1 << 30) + 1
    # Use all rows: by default FAISS would subsample them, or complain of too few.
    parameters.min_points_per_centroid = 1
    parameters.max_points_per_centroid = len(rows)
    means = faiss.Clustering(dim, k, parameters)
    with at_most_threads(1) if cost <= _COST_OF_ONE_THREAD else nullcontext():
        means.train(rows, faiss.IndexFlatIP(dim))
    centres: Float32 = faiss.vector_to_array(means.centroids).reshape(k, dim)
    return centres


def _train_many(rows: Float32, k: int, seed: int, iterations: int, report: Callable[[float], None]) -> Float32:
    centres = rows[np.random.default_rng(seed).choice(len(rows), k, replace=False)]
    numbers, nearest = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for iteration in range(iterations):
        # The last iteration compares all centres, which makes up for half of what groups lose.
        is_exact = len(rows) < GROUPED_ROWS or iteration + 1 == iterations
        search = CentreSearch(centres, is_exact=is_exact)
        for start in range(0, len(rows), _REPORT_ROWS):
            block = slice(start, start + _REPORT_ROWS)
            numbers[block], nearest[block] = search.nearest(rows[block])
            report((iteration + min(1, block.stop / len(rows))) / iterations)
        order, ends = np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers, minlength=k))
        clusters = np.split(order, ends[:-1])
        # A centre without rows moves to a row that is far from its own, as in scikit-learn.
        far = iter(np.argsort(nearest, kind="stable"))
        sums = np.stack([rows[members].sum(axis=0) if len(members) else rows[next(far)] for members in clusters])
        centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return centres


def nearest_centres(rows: Float32, centres: Float32, count: int = 2) -> tuple[Labels, Float32]:
    """Return numbers and cosines of the centres nearest to each of ``rows``, both (n, count), the nearest first.

    ``count`` is reduced to the number of centres. By NumPy's matrix product: FAISS's wheels have a BLAS of 2021, which
    takes four times as long on newer processors.
    """
    count = min(count, len(centres))
    numbers, cosines = np.empty((len(rows), count), np.int64), np.empty((len(rows), count), np.float32)
    columns = np.ascontiguousarray(centres, np.float32).T
    step = max(1, min(_ROWS, _PRODUCTS // max(1, len(centres))))
    products = np.empty((min(step, len(rows)), len(centres)), np.float32)
    for start in range(0, len(rows), step):
        block = np.asarray(rows[start : start + step], np.float32)
        part = np.matmul(block, columns, out=products[: len(block)])
        nearest = part.argmax(axis=1)[:, np.newaxis] if count == 1 else largest(part, count)
        numbers[start : start + step] = nearest
        cosines[start : start + step] = np.take_along_axis(part, nearest, 1)
    return numbers, np.clip(cosines, -1, 1)


class CentreSearch:
    """Finds the centre nearest to a row among thousands: exactly, or nearly always, by three eighths of the products.

    Centres are in groups, and a row is compared with those of the groups nearest to its own. Of 65,536 rows like CLIP's
    and 4,096 centres, 97.7 % find the nearest one, and the others one whose cosine is lower by .03 on the average.
    """

    def __init__(self, centres: Float32, *, is_exact: bool) -> None:
        """``centres`` (k, dim) are unit rows. All are compared if ``is_exact``, or if they are so few that groups would
        not save time."""
        self._centres = centres
        self._middles: Float32 | None = None
        if is_exact or len(centres) < _GROUPED:
            return
        group_count = 2 * math.isqrt(len(centres))
        self._middles = _train_many(centres, group_count, 0, _GROUP_ITERATIONS, lambda share: None)
        groups, _ = _nearest_centre(centres, self._middles)
        order, _ = nearest_centres(self._middles, self._middles, len(self._middles))
        sizes = np.cumsum(np.bincount(groups, minlength=len(self._middles))[order], axis=1)
        counts = np.argmax(sizes >= _COMPARED * len(centres), axis=1) + 1
        #: By group: the centres that its rows are compared with.
        self._compared = [np.flatnonzero(np.isin(groups, near[:n])) for near, n in zip(order, counts, strict=True)]

    def nearest(self, rows: Float32) -> tuple[Labels, Float32]:
        """Return the number of a nearest centre of each of ``rows`` (n, dim), and its cosine, both (n,)."""
        if self._middles is None:
            return _nearest_centre(rows, self._centres)
        groups, _ = _nearest_centre(rows, self._middles)
        order = np.argsort(groups, kind="stable")
        numbers, cosines = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            if len(members):
                compared = self._compared[groups[members[0]]]
                places, cosines[members] = _nearest_centre(rows[members], self._centres[compared])
                numbers[members] = compared[places]
        return numbers, cosines


def _nearest_centre(rows: Float32, centres: Float32) -> tuple[Labels, Float32]:
    numbers, cosines = nearest_centres(rows, centres, 1)
    return numbers[:, 0], cosines[:, 0]


def _faiss() -> Any:
    require_faiss()
    import faiss

    return faiss
