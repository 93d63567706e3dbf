"""Active learning: choose images to label that are typical of many others, among those a probe is less sure of.

Without a probe, all images are candidates. The least sure images alone are oddities that teach little: on half A of the
stamps of bench/probes.py they, and k-centre among them, did hardly better than chance. Typical images of the less sure
half, or of all, did far better.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.types.arrays import Float32

#: Minimum number of candidates per requested image.
SPARE: Final = 2
#: Maximum number of clusters.
_CLUSTERS: Final = 500
#: Neighbours within the cluster that measure how typical an image is.
_NEIGHBOURS: Final = 20

Numbers = npt.NDArray[Any]


def margins(chances: Numbers, several: bool) -> Float32:
    """Margin of the best class over the second: (m, classes) probabilities → (m,).

    With several classes per image, twice the smallest distance of a probability from one half.
    """
    if several:
        smallest: Float32 = (2 * np.abs(chances - 0.5)).min(axis=1)
        return smallest
    best = np.partition(chances, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0], np.float32)


def select_unsure(margin: Float32, n: int) -> Ids:
    """Return the positions, ascending, of the less sure half, or of more if n requires it."""
    most = min(len(margin), max(len(margin) // 2, SPARE * n))
    positions = np.argpartition(margin, most - 1)[:most] if 0 < most < len(margin) else np.arange(len(margin))
    return np.sort(positions).astype(np.int64)


def select_typical(rows: Float32, labelled_at: Ids, n: int, *, spare: int = 0, seed: int = 0) -> Ids:
    """Choose n typical rows from (m, dim), from the largest parts without a ``labelled_at`` position: TypiClust.

    Hacohen et al. 2022; it needs no model. There are as many clusters as known and requested images; each contributes
    the image nearest to its neighbours. ``spare`` more follow.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(_CLUSTERS, len(labelled_at) + n, len(rows))
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096).fit(rows)
    cluster = means.labels_
    labelled = np.bincount(cluster[labelled_at], minlength=count)
    sizes = np.bincount(cluster, minlength=count)
    free = np.ones(len(rows), np.bool_)
    free[labelled_at] = False
    picks: list[int] = []
    # Clusters with the fewest labelled images first, then the largest; then start again.
    while len(picks) < n + spare:
        before = len(picks)
        for number in np.lexsort((-sizes, labelled)).tolist():
            members = np.flatnonzero(cluster == number)
            if len(picks) == n + spare or not free[members].any():
                continue
            at = members[free[members]][_typicality(rows[members])[free[members]].argmax()]
            free[at] = False
            picks.append(int(at))
        labelled[:] = 0
        if len(picks) == before:
            break
    return np.array(picks, np.int64)


def _typicality(rows: Float32) -> Float32:
    """Mean cosine (m,) with the nearest others of a cluster, sampled to a few thousand."""
    sample = rows[:: max(1, len(rows) // 2000)]
    cosines = rows @ sample.T
    neighbours = min(_NEIGHBOURS + 1, cosines.shape[1])
    means: Float32 = np.partition(cosines, -neighbours, axis=1)[:, -neighbours:].mean(axis=1)
    return means
