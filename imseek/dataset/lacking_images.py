"""Find what one set of vectors has that another lacks.

The strangeness of an image to a set is the reach of the nearest image in the set (its cosine with its own fifth
neighbour) minus the cosine between the two. Sparse parts of a set thus reach further (after T. Kynkäänniemi et al.,
"Improved precision and recall metric for assessing generative models", 2019, who use such balls around images). It is
averaged with that of the image's five nearest neighbours in its own set, because lacking images rarely come alone. An
image is lacking if it is stranger to the set than nearly all images of the set are to the rest of it, as in conformal
anomaly detection (R. Laxhammar and G. Falkman, 2015). The threshold thus comes from the set itself, and the share
listed when nothing is lacking is known. bench/dataset.py measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis import knn_graph
from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.vectors.base import Ids, IdSet, VectorIndex
from imseek.types.arrays import Float32
from imseek.unique_numbers import unique_numbers

#: Share of images listed where nothing is lacking.
EXPECTED_SHARE: Final = 0.05
#: Rank of the neighbour that defines an image's reach, and number of own neighbours to average over.
NEIGHBOURS: Final = 5
#: Maximum number of images to compare; larger sets are sampled.
MAX_QUERIED: Final = 100_000
#: Sample size for the strangeness of a set's own images.
SAMPLE: Final = 2048
#: Sample size of each set for the distance between two sets.
MMD_SAMPLE: Final = 2048
#: Bandwidth and scale for unit CLIP vectors from S. Jayasumana et al., "Rethinking FID: towards a better evaluation
#: metric for image generation" (2024).
_SIGMA: Final = 10.0
_SCALE: Final = 1000.0
#: Queries sent to an index at once.
_BLOCK: Final = 1024
#: Maximum number of k-means iterations.
_ROUNDS: Final = 8


class SetNeighbours:
    """Nearest-neighbour search in a set of images. Memory: 64 bytes for each image, besides the vectors' own."""

    def __init__(self, vectors: Vectors, index: VectorIndex) -> None:
        self.vectors = vectors
        self.index = index
        allowed = IdSet(vectors.ids)
        self._allowed = None if len(allowed) == len(index) else allowed
        #: By position: nearest others, and their cosines (one more); NaN until they are computed.
        self._neighbours = np.full((len(vectors), NEIGHBOURS), -1, np.int64)
        self._cosines = np.full((len(vectors), NEIGHBOURS + 1), np.nan, np.float32)

    def nearest(self, rows: Float32, count: int, excluded: Ids | None = None) -> tuple[Ids, Float32]:
        """Find the images nearest to ``rows`` (m, dim): positions (m, count) and cosines.

        The image ``excluded`` of each row is left out. Missing neighbours, and all of a row of zeros, are -1 and -1.
        """
        positions, cosines = np.full((len(rows), count), -1), np.full((len(rows), count), -1, np.float32)
        nonzero = np.flatnonzero(rows.any(axis=1))
        for start in range(0, len(nonzero), _BLOCK):
            part = nonzero[start : start + _BLOCK]
            matches = self.index.search(rows[part], count + (excluded is not None), allowed=self._allowed)
            for row, match in zip(part.tolist(), matches, strict=True):
                is_other = np.ones(len(match), np.bool_) if excluded is None else match.ids != excluded[row]
                neighbours = self.vectors.positions(match.ids[is_other])[:count]
                positions[row, : len(neighbours)] = neighbours
                cosines[row, : len(neighbours)] = match.scores[is_other][:count]
        return positions, cosines

    def learn(self, report: Callable[[int], None]) -> None:
        """Compute the neighbours of all images of the set, in half the time of an exact index."""
        neighbours, self._cosines = knn_graph.knn_within(self.vectors, NEIGHBOURS + 1, report)
        self._neighbours = neighbours[:, :NEIGHBOURS]

    def own(self, positions: Ids) -> tuple[Ids, Float32]:
        """Return the NEIGHBOURS nearest others (m, 5) of these images as positions, and cosines (m, 6), one more.

        Missing ones are -1. Each image is looked up only once.
        """
        new = np.unique(positions[np.isnan(self._cosines[positions, 0])])
        for start in range(0, len(new), _BLOCK):
            part = new[start : start + _BLOCK]
            ids = self.vectors.ids[part]
            neighbours, self._cosines[part] = self.nearest(self.vectors.of(ids), NEIGHBOURS + 1, ids)
            self._neighbours[part] = neighbours[:, :NEIGHBOURS]
        return self._neighbours[positions], self._cosines[positions]

    def reach(self, positions: Ids, asking: Ids | None = None) -> Float32:
        """Return each image's reach (m,): its cosine with its fifth neighbour, or with the last where there are fewer.

        -1 where there is none. ``asking`` are positions of images of the set that are not to count as neighbours, one
        for each.
        """
        neighbours, cosines = self.own(positions)
        last = np.maximum((cosines > -1).sum(axis=1) - 1, 0)
        rows = np.arange(len(positions))
        usual: Float32 = cosines[rows, np.minimum(last, NEIGHBOURS - 1)]
        if asking is None:
            return usual
        return np.where((neighbours == asking[:, np.newaxis]).any(axis=1), cosines[rows, last], usual)

    def strangeness_to_rest(self, positions: Ids) -> Float32:
        """Strangeness of images of the set to the rest of it (m,)."""
        neighbours, cosines = self.own(positions)
        return self.strangeness(neighbours[:, 0], cosines[:, 0], positions)

    def strangeness(self, nearest: Ids, cosines: Float32, asking: Ids | None = None) -> Float32:
        """Strangeness (m,) of images whose nearest in the set are ``nearest`` (m,), with ``cosines`` (m,).

        ``asking`` (m,) are the positions of the images themselves, where they belong to the set. 2 where nothing was
        found.
        """
        has_nearest = nearest >= 0
        strange = np.full(len(nearest), 2, np.float32)
        reach = self.reach(nearest[has_nearest], None if asking is None else asking[has_nearest])
        strange[has_nearest] = reach - cosines[has_nearest]
        return strange


def strangeness_to(
    subject: SetNeighbours,
    reference: SetNeighbours,
    positions: Ids,
    report: Callable[[int], None],
    nearest: tuple[Ids, Float32] | None = None,
) -> tuple[Float32, Float32]:
    """Strangeness (n,) of the images at ``positions`` (n,) of one set to another, and the cosine with the
    nearest.

    ``report`` receives the progress, out of twice n, and may raise. ``nearest``, if known, holds for each image of
    ``subject`` the position (m,) of its nearest in the other set, and the cosine (m,).
    """
    vectors = subject.vectors
    neighbours = np.empty((len(positions), NEIGHBOURS), np.int64)
    for start in range(0, len(positions), _BLOCK):
        part = slice(start, start + _BLOCK)
        neighbours[part] = subject.own(positions[part])[0]
        report(min(part.stop, len(positions)))
    needed = unique_numbers(positions, neighbours[neighbours >= 0])
    strangeness, cosines = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    for start in range(0, len(needed), _BLOCK):
        batch = needed[start : start + _BLOCK]
        if nearest is None:
            matches, near = reference.nearest(vectors.at(batch), 1)
            places, near = matches[:, 0], near[:, 0]
        else:
            places, near = nearest[0][batch], nearest[1][batch]
        strangeness[batch], cosines[batch] = reference.strangeness(places, near), near
        report(len(positions) + len(positions) * (start + len(batch)) // len(needed))
    return _mean_with_neighbours(strangeness, positions, neighbours), cosines[positions]


def threshold(reference: SetNeighbours, expected: float = EXPECTED_SHARE) -> float | None:
    """Strangeness that all but a share ``expected`` of a set stay below, by a sample; None for fewer than two
    images."""
    if len(reference.vectors) < 2:
        return None
    sample = sample_positions(len(reference.vectors), SAMPLE)
    neighbours = reference.own(sample)[0]
    needed = unique_numbers(sample, neighbours[neighbours >= 0])
    strangeness = np.full(len(reference.vectors), np.nan, np.float32)
    strangeness[needed] = reference.strangeness_to_rest(needed)
    return float(np.quantile(_mean_with_neighbours(strangeness, sample, neighbours), 1 - expected))


def _mean_with_neighbours(values: Float32, positions: Ids, neighbours: Ids) -> Float32:
    """Average (m,) the values of images with those of their ``neighbours``, (m, k) positions, -1 for none."""
    has_neighbour = neighbours >= 0
    total = values[positions] + np.where(has_neighbour, values[neighbours], 0).sum(axis=1)
    mean: Float32 = (total / (1 + has_neighbour.sum(axis=1))).astype(np.float32)
    return mean


def mmd(a: Vectors, b: Vectors) -> float | None:
    """1000 times the unbiased squared maximum mean discrepancy of samples, with a Gaussian kernel of σ = 10 on unit
    vectors.

    A. Gretton et al., "A kernel two-sample test", 2012, eq. 3. Near 0, or slightly below, for similar sets; None where
    one has fewer than two images.
    """
    if min(len(a), len(b)) < 2:
        return None
    x, y = (one.at(sample_positions(len(one), MMD_SAMPLE)).astype(np.float64) for one in (a, b))
    return _SCALE * (_mean_kernel(x, x, same=True) + _mean_kernel(y, y, same=True) - 2 * _mean_kernel(x, y))


def _mean_kernel(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], same: bool = False) -> float:
    """Mean of the kernel over pairs; with ``same``, without the diagonal."""
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    kernel = np.exp(-np.maximum(squared, 0) / (2 * _SIGMA**2))
    if same:
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))
    return float(kernel.mean())


def group_similar(vectors: Vectors, positions: Ids, groups: int) -> list[Ids]:
    """Group similar images: at most ``groups`` groups of ``positions``, largest first, the most typical image first in
    each.

    Centres are initialised farthest-first (T. Gonzalez, "Clustering to minimize the maximum intercluster distance",
    1985), so that rare content gets one too, and refined by spherical k-means (I. Dhillon and D. Modha, 2001).
    """
    if not len(positions) or groups < 1:
        return []
    centres = _farthest_first(vectors, positions, groups)
    labels, closeness = _assign_to_centres(vectors, positions, centres)
    for _ in range(_ROUNDS):
        centres = _update_centres(vectors, positions, labels, centres)
        previous = labels
        labels, closeness = _assign_to_centres(vectors, positions, centres)
        if (labels == previous).all():
            break
    members = [np.flatnonzero(labels == n) for n in range(len(centres))]
    ordered = [positions[group[np.argsort(-closeness[group], kind="stable")]] for group in members if len(group)]
    return sorted(ordered, key=lambda one: (-len(one), int(one[0])))


def _farthest_first(vectors: Vectors, positions: Ids, groups: int) -> Float32:
    mean = sum((rows.sum(0) for _, rows in _blocks(vectors, positions)), np.zeros(vectors.dim, np.float32))
    norm = float(np.linalg.norm(mean)) or 1.0
    closest = np.full(len(positions), -np.inf, np.float32)
    for part, rows in _blocks(vectors, positions):  # The first centre is the most typical image.
        closest[part] = rows @ (mean / norm)
    indices = [int(np.argmax(closest))]
    closest[:] = -np.inf
    while True:
        centre = vectors.at(positions[indices[-1:]])[0]
        for part, rows in _blocks(vectors, positions):
            closest[part] = np.maximum(closest[part], rows @ centre)
        farthest = int(np.argmin(closest))
        if len(indices) == groups or closest[farthest] > 1 - 1e-4:
            return vectors.at(positions[indices])
        indices.append(farthest)


def _assign_to_centres(vectors: Vectors, positions: Ids, centres: Float32) -> tuple[Ids, Float32]:
    labels, closeness = np.empty(len(positions), np.int64), np.empty(len(positions), np.float32)
    for part, rows in _blocks(vectors, positions):
        cosines = rows @ centres.T
        labels[part] = cosines.argmax(1)
        closeness[part] = cosines.max(1)
    return labels, closeness


def _update_centres(vectors: Vectors, positions: Ids, labels: Ids, centres: Float32) -> Float32:
    sums = np.zeros_like(centres)
    for part, rows in _blocks(vectors, positions):
        np.add.at(sums, labels[part], rows)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres)


def _blocks(vectors: Vectors, positions: Ids) -> Iterator[tuple[slice, Float32]]:
    for start in range(0, len(positions), BLOCK):
        part = slice(start, min(start + BLOCK, len(positions)))
        yield part, vectors.at(positions[part])


def sample_positions(count: int, most: int) -> Ids:
    """Draw at most ``most`` positions, ascending and always the same."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
