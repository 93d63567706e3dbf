"""Train the centres of an index's lists by spherical k-means (Dhillon and Modha 2001): centres are unit vectors.

Many centres are trained by FAISS's SuperKMeans, which compares a row with a centre by a few axes of a random rotation
first, and mostly drops it then: for CLIP's vectors in a third of the time, with centres as good. Where FAISS is too old
for that, and for few centres, it is Lloyd's algorithm (1982), one iteration at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import faiss
import numpy as np

from imseek.types.arrays import Float32

#: Iterations; more change recall by less than its error.
ITERATIONS: Final = 8
#: Least number of centres for SuperKMeans.
_MANY: Final = 512
#: Seconds between checks for cancellation.
_CHECK_SECONDS: Final = 0.2


def train_centres(sample: Float32, count: int, tell: Callable[[float], None]) -> Float32:
    """Return ``count`` centres (count, dim) of unit rows ``sample`` (n, dim), n ≥ count: the same for the same rows.

    ``tell`` receives the share that is done, 0 to 1, and raises to stop.
    """
    if count >= _MANY and hasattr(faiss, "SuperKMeans"):
        parameters = faiss.SuperKMeansParameters()
        if sample.shape[1] >= 2 * parameters.d_prime_min:
            return _train_many(sample, count, parameters, tell)
    centres = sample[np.random.default_rng(0).choice(len(sample), count, replace=False)]
    for n in range(ITERATIONS):
        means = faiss.Kmeans(
            sample.shape[1], count, niter=1, spherical=True, seed=n, min_points_per_centroid=1,
            max_points_per_centroid=len(sample),
        )  # fmt: skip
        means.train(sample, init_centroids=centres)
        centres = means.centroids
        tell((n + 1) / ITERATIONS)
    return centres


def _train_many(sample: Float32, count: int, parameters: Any, tell: Callable[[float], None]) -> Float32:
    parameters.spherical, parameters.niter = True, ITERATIONS
    parameters.min_points_per_centroid, parameters.max_points_per_centroid = 1, len(sample)
    means = faiss.SuperKMeans(sample.shape[1], count, parameters)
    _run_stoppable(lambda: means.train(np.ascontiguousarray(sample, np.float32)), tell)
    centres: Float32 = faiss.vector_to_array(means.centroids).reshape(count, sample.shape[1])
    tell(1.0)
    return centres


def _run_stoppable(work: Callable[[], Any], tell: Callable[[float], None]) -> None:
    """Run one long call of FAISS in a thread, and interrupt it where ``tell`` raises.

    FAISS checks for interruption through one callback of the process only: a call that another thread is making at that
    moment fails too, with RuntimeError.
    """
    failed: list[BaseException] = []
    over = threading.Event()
    # OpenMP counts threads for each thread that starts some.
    threads = faiss.omp_get_max_threads()

    def run() -> None:
        try:
            faiss.omp_set_num_threads(threads)
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            over.set()

    threading.Thread(target=run, name="k-means").start()
    try:
        # Not by joining the thread, which Python 3.11 takes for over after an interrupt.
        while not over.wait(_CHECK_SECONDS):
            tell(0.0)
    except BaseException:
        try:
            faiss.TimeoutCallback.reset(1e-6)  # seconds; 0 would be no limit
            over.wait()
        finally:
            faiss.PythonInterruptCallback.reset()
        raise
    if failed:
        raise failed[0]
