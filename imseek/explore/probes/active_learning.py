"""What to label next: of what a probe is less sure of, or of all as long as there is none, what stands for many others.

The least sure images by themselves are oddities that teach little: on half A of the stamps of bench/probes.py they did
hardly better than chance, and so did k-centre among them; typical ones of the less sure half, or of all, did far
better.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.types import Float32

#: Among so many times as many images as are wanted there is something to choose from.
SPARE: Final = 2
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
    """Positions, ascending, of the less sure half, or of more where so many as n are wanted."""
    most = min(len(margin), max(len(margin) // 2, SPARE * n))
    found = np.argpartition(margin, most - 1)[:most] if 0 < most < len(margin) else np.arange(len(margin))
    return np.sort(found).astype(np.int64)


def typical(rows: Float32, known: Ids, n: int, *, spare: int = 0, seed: int = 0) -> Ids:
    """Of (m, dim) rows, positions of n that are typical of parts in which nothing is ``known`` (positions), those of
    the largest parts first: TypiClust (Hacohen et al. 2022), which needs no model.

    There are as many clusters as known and wanted images; from each comes the image that is nearest to its neighbours.
    After these, ``spare`` more.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(_CLUSTERS, len(known) + n, len(rows))
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096).fit(rows)
    cluster = means.labels_
    labelled = np.bincount(cluster[known], minlength=count)
    sizes = np.bincount(cluster, minlength=count)
    free = np.ones(len(rows), np.bool_)
    free[known] = False
    found: list[int] = []
    # Those with the fewest labelled images first, among these the largest; then once more from the beginning.
    while len(found) < n + spare:
        before = len(found)
        for number in np.lexsort((-sizes, labelled)).tolist():
            mine = np.flatnonzero(cluster == number)
            if len(found) == n + spare or not free[mine].any():
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
