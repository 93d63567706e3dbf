"""What to label next: what a probe is unsure of, or, as long as there is none, what stands for many others."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.errors import MissingExtraError
from imseek.types import Float32

#: So many times as many images as are wanted are candidates, the least sure ones.
POOL: Final = 10
#: And at least so many.
_LEAST_POOL: Final = 100
#: Clusters at most.
_CLUSTERS: Final = 500
#: How typical an image is, is told by so many of its neighbours within its cluster.
_NEIGHBOURS: Final = 20

Numbers = npt.NDArray[Any]


def margins(chances: Numbers, several: bool) -> Float32:
    """(m, classes) probabilities → (m,): how far the likeliest class is before the second; where an image may have
    several, how far the least sure answer is from one half."""
    if several:
        found: Float32 = (2 * np.abs(chances - 0.5)).min(axis=1)
        return found
    best = np.partition(chances, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0], np.float32)


def unsure(margin: Float32, n: int) -> Ids:
    """Positions of the candidates for n proposals, the least sure first."""
    most = min(len(margin), max(_LEAST_POOL, POOL * n))
    found = np.argpartition(margin, most - 1)[:most] if most < len(margin) else np.arange(len(margin))
    return found[np.argsort(margin[found], kind="stable")].astype(np.int64)


def spread(rows: Float32, known: Float32, n: int) -> Ids:
    """Of candidates (m, dim), the first the most wanted, positions of n that are far from each other and from what is
    ``known`` (k, dim): greedy k-centre (Sener & Savarese 2018, "core-set"), which begins with the most wanted one where
    nothing is known."""
    nearest = np.full(len(rows), -np.inf, np.float32) if not len(known) else (rows @ known.T).max(axis=1)
    found: list[int] = []
    for _ in range(min(n, len(rows))):
        at = int(nearest.argmin())
        found.append(at)
        nearest = np.maximum(nearest, rows @ rows[at])
        nearest[found] = np.inf
    return np.array(found, np.int64)


def typical(rows: Float32, known: Ids, n: int, seed: int = 0) -> Ids:
    """Of (m, dim) rows, positions of n that are typical of parts in which nothing is ``known`` (positions), those of
    the largest parts first: TypiClust (Hacohen et al. 2022), which needs no model.

    There are as many clusters as known and wanted images; from each comes the image that is nearest to its neighbours.
    Raises MissingExtraError.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "explore") from error
    count = min(_CLUSTERS, len(known) + n, len(rows))
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096).fit(rows)
    cluster = means.labels_
    labelled = np.bincount(cluster[known], minlength=count)
    sizes = np.bincount(cluster, minlength=count)
    free = np.ones(len(rows), np.bool_)
    free[known] = False
    found: list[int] = []
    # Those with the fewest labelled images first, among these the largest; then once more from the beginning.
    while len(found) < n:
        before = len(found)
        for number in np.lexsort((-sizes, labelled)).tolist():
            mine = np.flatnonzero(cluster == number)
            if len(found) == n or not free[mine].any():
                continue
            at = mine[free[mine]][_typicality(rows[mine])[free[mine]].argmax()]
            free[at] = False
            found.append(int(at))
        labelled[:] = 0
        if len(found) == before:
            break
    return np.array(found, np.int64)


def _typicality(rows: Float32) -> Float32:
    """(m,): mean cosine with the nearest others of a cluster, of which at most a few thousand are looked at."""
    others = rows[:: max(1, len(rows) // 2000)]
    cosines = rows @ others.T
    near = min(_NEIGHBOURS + 1, cosines.shape[1])
    found: Float32 = np.partition(cosines, -near, axis=1)[:, -near:].mean(axis=1)
    return found
