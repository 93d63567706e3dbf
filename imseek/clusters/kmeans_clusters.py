"""K-means clusters: fit centres on a bounded sample, then assign every image to the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.analysis.unique_vectors import hash_rows
from imseek.blas_threads import one_blas_thread
from imseek.clusters import gram_kmeans
from imseek.clusters.results import ClusterMethod
from imseek.data.vectors import kmeans
from imseek.data.vectors.base import Ids
from imseek.encoders.input_checks import available_cpus
from imseek.errors import UsageError
from imseek.metrics.clustering import adjusted_mutual_information
from imseek.progress import Task
from imseek.types.arrays import Float32
from imseek.unique_numbers import unique_numbers

FITTING: Final = "finding clusters"
ASSIGNING: Final = "assigning images"
CHOOSING: Final = "choosing the number of clusters"

MAX_CLUSTERS: Final = 10_000
#: Size of the training sample as float32.
TRAINING_BYTES: Final = 128 << 20
#: Rows read at once.
_READ_BATCH: Final = 4096
#: Minimum rows per centre, where there are enough images.
_ROWS_PER_CENTRE: Final = 16
#: Candidate numbers of clusters, about √2 apart, used while each cluster would have this many images.
_CANDIDATE_COUNTS: Final = (6, 8, 11, 16, 23, 32, 45, 64)
_MIN_IMAGES_PER_CLUSTER: Final = 5
#: Sample size for choosing the number, number of random halvings, and the gain required of a larger number.
_SELECTION_SAMPLE: Final = 4096
_HALVINGS: Final = 5
_TOLERANCE: Final = 0.01
#: Starting points of the clusters of no more images than that, while images times clusters are no more than this.
_STARTS: Final = 5
_RESTART_COST: Final = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Fitted clusters.

    ``centres`` (k, dim) are float32 unit rows. ``least`` (k,) float32 is the minimum cosine to belong to a cluster;
    None: no minimum. ``fixed`` holds positions (m,) of images whose cluster is known, and that cluster (m,), -1 for
    none. ``chosen`` says how k was chosen.
    """

    method: ClusterMethod
    centres: Float32
    least: Float32 | None
    chosen: str
    fixed: tuple[Ids, Ids] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The cluster of each image (n,).

    ``label`` counts from 0, -1 for none. ``own`` is the cosine to its centre, or to the nearest where it has none.
    ``next`` is the nearest other cluster, -1 where there is none, and ``other`` the cosine to it.
    """

    label: Ids
    own: Float32
    next: Ids
    other: Float32


def fit(vectors: Vectors, k: int | None, seed: int, task: Task) -> Fit:
    """Fit spherical k-means; without ``k`` the number is chosen by :func:`choose_cluster_count`. There must be at
    least one image.

    Where there are fewer unique vectors than clusters requested, each gets a cluster. Raises UsageError for a k outside
    1 to the number of images, MissingExtraError, CorruptCollectionError, Cancelled.
    """
    description = "as asked for"
    if k is not None and not 1 <= k <= min(len(vectors), MAX_CLUSTERS):
        most = min(len(vectors), MAX_CLUSTERS)
        images = f"{len(vectors):,} image{'s' * (len(vectors) != 1)}"
        raise UsageError(f"{images} cannot be put into {k:,} clusters", hint=f"-k is 1{f' to {most}' * (most > 1)}")
    if k is None:
        k, description = choose_cluster_count(vectors, seed, task)
    rows = sample_rows(vectors, max(_ROWS_PER_CENTRE * k, TRAINING_BYTES // (4 * vectors.dim)), seed)
    distinct = len(unique_numbers(hash_rows(rows)))
    if distinct < k:
        k, description = distinct, f"{description}, but no more vectors differ"
    task.step(FITTING, 0, None)
    return Fit("k-means", _centres_of(rows, k, seed), None, description)


def _centres_of(rows: Float32, k: int, seed: int) -> Float32:
    if len(rows) > _SELECTION_SAMPLE:
        return kmeans.centres_of(rows, k, seed=seed)
    gram = rows @ rows.T
    with one_blas_thread():
        starts = _STARTS if len(rows) * k <= _RESTART_COST else 1
        labels = gram_kmeans.fit_labels(gram, k, seed % (1 << 30), starts=starts)
        centres = gram_kmeans.cluster_sums(rows, labels, k)
    norms = np.linalg.norm(centres, axis=1, keepdims=True)
    unit: Float32 = centres[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    return unit


def choose_cluster_count(vectors: Vectors, seed: int, task: Task) -> tuple[int, str]:
    """Choose the number of clusters that is most stable between two halves of a sample, and describe the choice.

    Both halves are clustered, and the whole sample is assigned to the centres of each. Where k suits the data, the two
    agree (Lange et al. 2004, *Stability-based validation of clustering solutions*), as measured by mutual information
    adjusted for chance (Vinh et al. 2010). The smallest of nearly equal candidates wins. With too few images: √(n/2).
    """
    rows = sample_rows(vectors, _SELECTION_SAMPLE, seed)
    distinct = len(unique_numbers(hash_rows(rows)))
    counts = [k for k in _CANDIDATE_COUNTS if _MIN_IMAGES_PER_CLUSTER * 2 * k <= distinct]
    if not counts:
        return max(1, round((len(vectors) / 2) ** 0.5)), "too few images to choose by: √(n/2)"
    gram = rows @ rows.T
    agreements: list[list[float]] = []
    task.step(CHOOSING, 0, _HALVINGS)
    with one_blas_thread(), ThreadPoolExecutor(available_cpus()) as pool:
        try:
            for scores in pool.map(lambda halving: _agreements(gram, counts, (seed, halving)), range(_HALVINGS)):
                agreements.append(scores)
                task.step(CHOOSING, len(agreements), _HALVINGS)
        finally:
            pool.shutdown(cancel_futures=True)
    means = np.mean(agreements, axis=0).tolist()
    best = next(n for n, score in enumerate(means) if score >= max(means) - _TOLERANCE)
    return counts[best], f"the most stable of {', '.join(map(str, counts))} ({means[best]:.2f})"


def _agreements(gram: Float32, counts: Sequence[int], seed: tuple[int, int]) -> list[float]:
    """Compute, for each number of centres, the agreement of two clusterings, each fitted to one half of the images.

    ``gram`` (n, n) has the dot products of the images.
    """
    halves = np.array_split(np.random.default_rng(seed).permutation(len(gram)), 2)
    clusterings: list[list[Ids]] = []
    for side, half in enumerate(halves):
        rows = gram[half]
        inside = np.ascontiguousarray(rows[:, half])
        labelings = []
        for k in counts:
            half_labels = gram_kmeans.fit_labels(inside, k, (*seed, k, side))
            sums = gram_kmeans.cluster_sums(rows, half_labels, k)
            labelings.append(
                gram_kmeans.nearest_clusters(sums, gram_kmeans.squared_norms(sums[:, half], half_labels))[0]
            )
        clusterings.append(labelings)
    return [adjusted_mutual_information(a, b) for a, b in zip(*clusterings, strict=True)]


def sample_rows(vectors: Vectors, most: int, seed: int) -> Float32:
    """Return rows of at most ``most`` random images, in order, without rows of zeros. Raises CorruptCollectionError."""
    at = sample_positions(len(vectors), most, seed)
    rows = np.empty((len(at), vectors.dim), np.float32)
    for start in range(0, len(at), _READ_BATCH):
        rows[start : start + _READ_BATCH] = vectors.at(at[start : start + _READ_BATCH])
    is_nonzero = rows.any(axis=1)
    return rows if is_nonzero.all() else rows[is_nonzero]


def sample_positions(n: int, most: int, seed: int) -> Ids:
    """Draw at most ``most`` of the numbers below ``n``, ascending."""
    if n <= most:
        return np.arange(n)
    positions: Ids = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return positions


def assign(vectors: Vectors, fitted: Fit, task: Task) -> Assignment:
    """Assign each image to its nearest centre, in blocks. Memory: 24 bytes for each image."""
    n, k = len(vectors), len(fitted.centres)
    assignment = Assignment(
        np.full(n, -1, np.int64),
        np.zeros(n, np.float32),
        np.full(n, -1, np.int64),
        np.full(n, -1, np.float32),
    )
    for part, rows in vectors.blocks():
        task.step(ASSIGNING, part.start, n)
        if not k:
            continue
        numbers, cosines = kmeans.nearest_centres(rows, fitted.centres)
        labels = numbers[:, 0].copy()
        if fitted.least is not None:
            labels[cosines[:, 0] < fitted.least[labels]] = -1
        labels[~rows.any(axis=1)] = -1
        assignment.label[part], assignment.own[part] = labels, cosines[:, 0]
        if k > 1:
            assignment.next[part], assignment.other[part] = numbers[:, 1], cosines[:, 1]
    if fitted.fixed is not None and k:
        _apply_fixed_labels(vectors, fitted, assignment)
    return assignment


def _apply_fixed_labels(vectors: Vectors, fitted: Fit, assignment: Assignment) -> None:
    """Assign images with a known cluster to it, even if another centre is nearer."""
    assert fitted.fixed is not None
    for start in range(0, len(fitted.fixed[0]), _READ_BATCH):
        at, label = (part[start : start + _READ_BATCH] for part in fitted.fixed)
        cosines = vectors.at(at) @ fitted.centres.T
        rows = np.arange(len(at))
        has_cluster = label >= 0
        clusters = np.where(has_cluster, label, cosines.argmax(axis=1))
        assignment.label[at], assignment.own[at] = label, cosines[rows, clusters]
        if len(fitted.centres) > 1:
            cosines[rows, clusters] = -2
            assignment.next[at] = cosines.argmax(axis=1)
            assignment.other[at] = cosines.max(axis=1)


def order_by_size(fitted: Fit, assignment: Assignment) -> tuple[Fit, Assignment]:
    """Sort clusters by size, largest first, and drop empty ones."""
    sizes = np.bincount(assignment.label[assignment.label >= 0], minlength=len(fitted.centres))
    order = np.lexsort((np.arange(len(sizes)), -sizes))
    remaining = order[sizes[order] > 0]
    new_number = np.full(len(sizes) + 1, -1, np.int64)  # The last entry maps -1 to -1.
    new_number[remaining] = np.arange(len(remaining))
    least = None if fitted.least is None else fitted.least[remaining]
    ordered_fit = Fit(fitted.method, fitted.centres[remaining], least, fitted.chosen)
    return ordered_fit, Assignment(
        new_number[assignment.label], assignment.own, new_number[assignment.next], assignment.other
    )
