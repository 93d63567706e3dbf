"""What one set of vectors has that another lacks.

An image is lacking where its nearest neighbour in the other set is further away than nearly all images of that set are
from their own nearest neighbours: nearness of neighbours as the measure of how strange something is, in the manner of
conformal anomaly detection (R. Laxhammar and G. Falkman, "Inductive conformal anomaly detection for sequential
detection of anomalous trajectories", 2015). So the threshold comes from the set itself, and the share that would be
listed if nothing were lacking is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, IdSet, VectorIndex
from imseek.explore.vectors import BLOCK, Vectors
from imseek.types import Float32

#: The share of images that is listed where nothing is lacking.
EXPECTED: Final = 0.05
#: Of a set, so many images tell how near its own neighbours are.
SAMPLE: Final = 4096
#: Images that the distance of two sets is computed from: so many of each.
MMD_SAMPLE: Final = 2048
#: Bandwidth and factor as S. Jayasumana et al., "Rethinking FID: towards a better evaluation metric for image
#: generation" (2024), have them for unit vectors of CLIP.
_SIGMA: Final = 10.0
_SCALE: Final = 1000.0
#: Queries that an index is asked at the same time.
_BLOCK: Final = 1024
#: Rounds in which the centres of groups settle.
_ROUNDS: Final = 8

Tell = Callable[[int], None]


def nearest(
    vectors: Vectors, index: VectorIndex, theirs: Vectors, tell: Tell, stop: threading.Event
) -> Float32 | None:
    """(n,) the cosine of each of ``vectors`` with the nearest of the others; None where it was stopped."""
    found = np.full(len(vectors), -1, np.float32)
    allowed = IdSet(theirs.ids)
    for part, rows in vectors.blocks(_BLOCK):
        if stop.is_set():
            return None
        found[part] = _best(index, rows, allowed=None if len(allowed) == len(index) else allowed)
        tell(part.stop)
    return found


def own_nearest(vectors: Vectors, index: VectorIndex) -> Float32:
    """(m,) ascending: of a sample, the cosine of each with the nearest other image of the same set."""
    chosen = _sample(len(vectors), SAMPLE)
    allowed = IdSet(vectors.ids)
    limit = None if len(allowed) == len(index) else allowed
    found = [np.empty(0, np.float32)]
    for start in range(0, len(chosen) if len(vectors) > 1 else 0, _BLOCK):
        ids = vectors.ids[chosen[start : start + _BLOCK]]
        rows = vectors.of(ids)
        some = rows.any(axis=1)
        matches = index.search(rows[some], 2, allowed=limit)
        each = zip(ids[some].tolist(), matches, strict=True)
        scores = [
            [s for i, s in zip(m.ids.tolist(), m.scores.tolist(), strict=True) if i != own] for own, m in each
        ]
        found.append(np.array([max(one) for one in scores if one], np.float32))
    return np.sort(np.concatenate(found))


def threshold(own: Float32, expected: float = EXPECTED) -> float | None:
    """The cosine below which only the share ``expected`` of a set is from the rest of it; None of nothing."""
    return float(np.quantile(own, expected)) if len(own) else None


def _best(index: VectorIndex, rows: Float32, allowed: IdSet | None) -> Float32:
    """(m,) -1 for a row of zeros, and where there is nothing to be near to."""
    found = np.full(len(rows), -1, np.float32)
    some = np.flatnonzero(rows.any(axis=1))
    if len(some):
        matches = index.search(rows[some], 1, allowed=allowed)
        for at, match in zip(some.tolist(), matches, strict=True):
            if len(match):
                found[at] = match.scores[0]
    return found


def mmd(a: Vectors, b: Vectors) -> float | None:
    """1000 times the squared maximum mean discrepancy, without bias (A. Gretton et al., "A kernel two-sample test",
    2012, eq. 3), of samples, with a Gaussian kernel of σ = 10 on unit vectors. Near 0, or just below, where the sets
    are alike; None with fewer than two images in one of them."""
    if min(len(a), len(b)) < 2:
        return None
    x, y = (one.at(_sample(len(one), MMD_SAMPLE)).astype(np.float64) for one in (a, b))
    return _SCALE * (_mean_kernel(x, x, same=True) + _mean_kernel(y, y, same=True) - 2 * _mean_kernel(x, y))


def _mean_kernel(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], same: bool = False) -> float:
    """The mean of k over pairs; where x is y, of different ones only."""
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    kernel = np.exp(-np.maximum(squared, 0) / (2 * _SIGMA**2))
    if same:
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))
    return float(kernel.mean())


def grouped(vectors: Vectors, positions: Ids, groups: int) -> list[Ids]:
    """``positions`` of ``vectors`` in at most so many groups of what is alike, the largest first; in each the most
    typical first.

    Centres are begun farthest-first (T. Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985),
    so that what is rare has one too, and settle as in spherical k-means (I. Dhillon and D. Modha, 2001).
    """
    if not len(positions) or groups < 1:
        return []
    centres = _farthest_first(vectors, positions, groups)
    labels, closeness = _assigned(vectors, positions, centres)
    for _ in range(_ROUNDS):
        centres = _means(vectors, positions, labels, centres)
        before = labels
        labels, closeness = _assigned(vectors, positions, centres)
        if (labels == before).all():
            break
    members = [np.flatnonzero(labels == n) for n in range(len(centres))]
    ordered = [positions[one[np.argsort(-closeness[one], kind="stable")]] for one in members if len(one)]
    return sorted(ordered, key=lambda one: (-len(one), int(one[0])))


def _farthest_first(vectors: Vectors, positions: Ids, groups: int) -> Float32:
    mean = sum((rows.sum(0) for _, rows in _blocks(vectors, positions)), np.zeros(vectors.dim, np.float32))
    norm = float(np.linalg.norm(mean)) or 1.0
    closest = np.full(len(positions), -np.inf, np.float32)
    for part, rows in _blocks(vectors, positions):  # The first is the most typical of all.
        closest[part] = rows @ (mean / norm)
    chosen = [int(np.argmax(closest))]
    closest[:] = -np.inf
    while True:
        centre = vectors.at(positions[chosen[-1:]])[0]
        for part, rows in _blocks(vectors, positions):
            closest[part] = np.maximum(closest[part], rows @ centre)
        farthest = int(np.argmin(closest))
        if len(chosen) == groups or closest[farthest] > 1 - 1e-4:
            return vectors.at(positions[chosen])
        chosen.append(farthest)


def _assigned(vectors: Vectors, positions: Ids, centres: Float32) -> tuple[Ids, Float32]:
    labels, closeness = np.empty(len(positions), np.int64), np.empty(len(positions), np.float32)
    for part, rows in _blocks(vectors, positions):
        cosines = rows @ centres.T
        labels[part] = cosines.argmax(1)
        closeness[part] = cosines.max(1)
    return labels, closeness


def _means(vectors: Vectors, positions: Ids, labels: Ids, centres: Float32) -> Float32:
    sums = np.zeros_like(centres)
    for part, rows in _blocks(vectors, positions):
        np.add.at(sums, labels[part], rows)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres)


def _blocks(vectors: Vectors, positions: Ids) -> Iterator[tuple[slice, Float32]]:
    for start in range(0, len(positions), BLOCK):
        part = slice(start, min(start + BLOCK, len(positions)))
        yield part, vectors.at(positions[part])


def _sample(count: int, most: int) -> Ids:
    """Positions, ascending; the same whenever it is asked for."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
