"""Spherical k-means by FAISS (Dhillon and Modha 2001): centres are unit vectors, similarity is the cosine.

Many centres are trained by FAISS's SuperKMeans, which compares a row with a centre by a few axes of a random rotation
first, and mostly drops it then: for the lists of a million of CLIP's vectors in a third of the time, with centres as
good. Where FAISS is too old for that, and for few centres, rows or axes, it is Lloyd's algorithm (1982).
"""

from __future__ import annotations

import threading
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

#: Least numbers of centres and rows for SuperKMeans, which does not stop where nothing changes any more.
_MANY: Final = 512
_MANY_ROWS: Final = 20_000
#: Maximum rows, and products of rows with centres, in memory at the same time.
_ROWS: Final = 4096
_PRODUCTS: Final = 1 << 23
#: Seconds between checks for cancellation.
_CHECK_SECONDS: Final = 0.2


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
    ``report`` receives the share that is done, 0 or 1, several times a second, and raises to stop. Raises
    MissingExtraError.
    """
    faiss = _faiss()
    assert 1 <= k <= len(rows)
    rows = np.ascontiguousarray(rows, np.float32)
    dim = rows.shape[1]
    cost = rows.size * k * iterations
    is_large = k >= _MANY and len(rows) >= _MANY_ROWS and hasattr(faiss, "SuperKMeans")
    is_large = is_large and dim >= 2 * faiss.SuperKMeansParameters().d_prime_min
    parameters = faiss.SuperKMeansParameters() if is_large else faiss.ClusteringParameters()
    parameters.spherical = True
    parameters.niter = iterations
    parameters.nredo = next((starts for most, starts in _RESTARTS if cost <= most), 1)
    parameters.seed = seed % (1 << 30) + 1
    # Use all rows: by default FAISS would subsample them, or complain of too few.
    parameters.min_points_per_centroid = 1
    parameters.max_points_per_centroid = len(rows)
    means = faiss.SuperKMeans(dim, k, parameters) if is_large else faiss.Clustering(dim, k, parameters)

    def train() -> None:
        with at_most_threads(1) if cost <= _COST_OF_ONE_THREAD else nullcontext():
            means.train(rows) if is_large else means.train(rows, faiss.IndexFlatIP(dim))

    if report is None:
        train()
    else:
        _run_stoppable(faiss, train, report)
    centres: Float32 = faiss.vector_to_array(means.centroids).reshape(k, dim)
    return centres


def _run_stoppable(faiss: Any, work: Callable[[], None], report: Callable[[float], None]) -> None:
    """Run one long call of FAISS in a thread, and interrupt it where ``report`` raises.

    FAISS checks for interruption through one callback of the process only: a call that another thread is making at that
    moment fails too, with RuntimeError.
    """
    errors: list[BaseException] = []
    finished = threading.Event()
    # OpenMP counts threads for each thread that starts some.
    threads = faiss.omp_get_max_threads()

    def run() -> None:
        try:
            faiss.omp_set_num_threads(threads)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    threading.Thread(target=run, name="k-means").start()
    try:
        # Not by joining the thread, which Python 3.11 takes for over after an interrupt.
        while not finished.wait(_CHECK_SECONDS):
            report(0.0)
    except BaseException:
        try:
            faiss.TimeoutCallback.reset(1e-6)  # seconds; 0 would be no limit
            finished.wait()
        finally:
            faiss.PythonInterruptCallback.reset()
        raise
    if errors:
        raise errors[0]
    report(1.0)


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


def _faiss() -> Any:
    require_faiss()
    import faiss

    return faiss
