"""What one set of vectors has that another lacks.

How strange an image is to a set: its cosine with the nearest image of the set is compared with that image's own
reach, the cosine with its fifth neighbour, so that sparse parts of a set reach further (after T. Kynkäänniemi et al.,
"Improved precision and recall metric for assessing generative models", 2019, whose balls around images are of that
kind); and the mean is taken with the five nearest images of its own set, since what is lacking is rarely alone. It is
lacking where it is stranger to the set than nearly all images of the set are to the rest of it, as in conformal anomaly
detection (R. Laxhammar and G. Falkman, 2015). So the threshold comes from the set itself, and the share that would be
listed if nothing were lacking is known. bench/dataset.py measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, IdSet, VectorIndex
from imseek.explore import knn_graph
from imseek.explore.space_vectors import BLOCK, Vectors
from imseek.types import Float32

#: The share of images that is listed where nothing is lacking.
EXPECTED: Final = 0.05
#: The neighbour that tells the reach of an image, and how many of its own share in what is said of an image.
NEIGHBOURS: Final = 5
#: Of more images, so many are asked about.
MOST: Final = 100_000
#: Of a set, so many images tell how strange its own are to it.
SAMPLE: Final = 2048
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


class Neighbours:
    """The images of a set, which an index finds. Memory: 64 bytes for each, beside the vectors' own."""

    def __init__(self, vectors: Vectors, index: VectorIndex) -> None:
        self.vectors = vectors
        self.index = index
        allowed = IdSet(vectors.ids)
        self._allowed = None if len(allowed) == len(index) else allowed
        #: By position, the nearest others, and their cosines, one more; NaN until somebody asks.
        self._around = np.full((len(vectors), NEIGHBOURS), -1, np.int64)
        self._cosines = np.full((len(vectors), NEIGHBOURS + 1), np.nan, np.float32)

    def nearest(self, rows: Float32, count: int, but: Ids | None = None) -> tuple[Ids, Float32]:
        """Positions (m, count) of the images nearest to ``rows`` (m, dim), and their cosines; of each row the image
        ``but`` is left out. -1 and -1 where there are no more, and for a row of zeros."""
        positions, cosines = np.full((len(rows), count), -1), np.full((len(rows), count), -1, np.float32)
        some = np.flatnonzero(rows.any(axis=1))
        for start in range(0, len(some), _BLOCK):
            part = some[start : start + _BLOCK]
            matches = self.index.search(rows[part], count + (but is not None), allowed=self._allowed)
            for at, match in zip(part.tolist(), matches, strict=True):
                kept = np.ones(len(match), np.bool_) if but is None else match.ids != but[at]
                found = self.vectors.positions(match.ids[kept])[:count]
                positions[at, : len(found)] = found
                cosines[at, : len(found)] = match.scores[kept][:count]
        return positions, cosines

    def learn(self, tell: Callable[[int], None]) -> None:
        """The neighbours of all images of the set at once, in half the time that an exact index takes."""
        around, self._cosines = knn_graph.within(self.vectors, NEIGHBOURS + 1, tell)
        self._around = around[:, :NEIGHBOURS]

    def own(self, positions: Ids) -> tuple[Ids, Float32]:
        """The NEIGHBOURS others of the set that are nearest to each of these images, (m, 5) positions, and cosines
        (m, 6), of one more; -1 where there are no more. An image is looked up once."""
        new = np.unique(positions[np.isnan(self._cosines[positions, 0])])
        for start in range(0, len(new), _BLOCK):
            part = new[start : start + _BLOCK]
            ids = self.vectors.ids[part]
            around, self._cosines[part] = self.nearest(self.vectors.of(ids), NEIGHBOURS + 1, ids)
            self._around[part] = around[:, :NEIGHBOURS]
        return self._around[positions], self._cosines[positions]

    def reach(self, positions: Ids, asking: Ids | None = None) -> Float32:
        """(m,) the cosine of images with their fifth neighbour, or with the last where there are fewer; -1 where there
        is none. ``asking``, the positions of others of the set: each is not counted among the neighbours of the one."""
        around, cosines = self.own(positions)
        last = np.maximum((cosines > -1).sum(axis=1) - 1, 0)
        rows = np.arange(len(positions))
        usual: Float32 = cosines[rows, np.minimum(last, NEIGHBOURS - 1)]
        if asking is None:
            return usual
        return np.where((around == asking[:, np.newaxis]).any(axis=1), cosines[rows, last], usual)

    def own_strangeness(self, positions: Ids) -> Float32:
        """(m,) how strange images of the set are to the rest of it."""
        around, cosines = self.own(positions)
        return self.strangeness(around[:, 0], cosines[:, 0], positions)

    def strangeness(self, found: Ids, cosines: Float32, asking: Ids | None = None) -> Float32:
        """(m,) by how much the image at the position ``found`` (m,), the nearest one to another image, falls short of
        its own reach; ``cosines`` (m,) are theirs. ``asking`` (m,) are positions of the others, where these are images
        of the set itself."""
        there = found >= 0
        strange = np.full(len(found), 2, np.float32)
        reach = self.reach(found[there], None if asking is None else asking[there])
        strange[there] = reach - cosines[there]
        return strange


def strange_to(
    mine: Neighbours,
    theirs: Neighbours,
    chosen: Ids,
    tell: Callable[[int], bool],
    nearest: tuple[Ids, Float32] | None = None,
) -> tuple[Float32, Float32] | None:
    """(n,) how strange the images at the positions ``chosen`` (n,) of one set are to another, and the cosine with the
    nearest. ``tell`` gets how many were looked up, of two each, and says whether to stop: None then. ``nearest``, where
    that is known, is the position in the other set, (m,), and the cosine, (m,), of the nearest to each of one set."""
    vectors = mine.vectors
    around = np.empty((len(chosen), NEIGHBOURS), np.int64)
    for start in range(0, len(chosen), _BLOCK):
        part = slice(start, start + _BLOCK)
        around[part] = mine.own(chosen[part])[0]
        if tell(min(part.stop, len(chosen))):
            return None
    needed = np.unique(np.concatenate([chosen, around[around >= 0]]))
    alone, cosines = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    for start in range(0, len(needed), _BLOCK):
        some = needed[start : start + _BLOCK]
        if nearest is None:
            found, near = theirs.nearest(vectors.at(some), 1)
            places, near = found[:, 0], near[:, 0]
        else:
            places, near = nearest[0][some], nearest[1][some]
        alone[some], cosines[some] = theirs.strangeness(places, near), near
        if tell(len(chosen) + len(chosen) * (start + len(some)) // len(needed)):
            return None
    return _with_neighbours(alone, chosen, around), cosines[chosen]


def threshold(theirs: Neighbours, expected: float = EXPECTED) -> float | None:
    """How strange all but the share ``expected`` of a set are to the rest of it, by a sample; None below two images."""
    if len(theirs.vectors) < 2:
        return None
    chosen = sample(len(theirs.vectors), SAMPLE)
    around = theirs.own(chosen)[0]
    needed = np.unique(np.concatenate([chosen, around[around >= 0]]))
    alone = np.full(len(theirs.vectors), np.nan, np.float32)
    alone[needed] = theirs.own_strangeness(needed)
    return float(np.quantile(_with_neighbours(alone, chosen, around), 1 - expected))


def _with_neighbours(alone: Float32, positions: Ids, around: Ids) -> Float32:
    """(m,) the mean of what is said of images and of those ``around`` them, (m, k) positions, -1 for none."""
    there = around >= 0
    total = alone[positions] + np.where(there, alone[around], 0).sum(axis=1)
    mean: Float32 = (total / (1 + there.sum(axis=1))).astype(np.float32)
    return mean


def mmd(a: Vectors, b: Vectors) -> float | None:
    """1000 times the squared maximum mean discrepancy, without bias (A. Gretton et al., "A kernel two-sample test",
    2012, eq. 3), of samples, with a Gaussian kernel of σ = 10 on unit vectors. Near 0, or just below, where the sets
    are alike; None with fewer than two images in one of them."""
    if min(len(a), len(b)) < 2:
        return None
    x, y = (one.at(sample(len(one), MMD_SAMPLE)).astype(np.float64) for one in (a, b))
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


def sample(count: int, most: int) -> Ids:
    """Positions, ascending; the same whenever it is asked for."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
