"""Outliers by distance to the nearest neighbours, by local density (LOF), or by isolation forest.

Copies share a vector and are counted once, so that an outlier that exists twice is still found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.score_columns import check_name
from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.analysis.unique_vectors import UniqueVectors, find_unique_vectors, hash_rows
from imseek.clusters import kmeans_clusters
from imseek.clusters.cluster_statistics import members_of
from imseek.clusters.kmeans_clusters import sample_positions
from imseek.clusters.results import OutlierMethod, OutlierReport, Shown
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.vectors import kmeans
from imseek.data.vectors.base import Ids
from imseek.errors import MissingExtraError, UsageError
from imseek.progress import Task
from imseek.types.arrays import Float32
from imseek.unique_numbers import unique_numbers

KIND: Final = "outliers"
NEIGHBOURS_PHASE: Final = "looking for neighbours"
VERIFYING_PHASE: Final = "comparing the farthest with all"
ISOLATION_PHASE: Final = "cutting at random"
NEIGHBOURS: Final = 10
MAX_NEIGHBOURS: Final = 100
#: Up to this many contents, every pair is compared.
MAX_EXACT: Final = 32_768
#: Approximate size of a k-means cell, and number of cells searched for each image: its own and the nearest ones.
_CELL_SIZE: Final = 1000
_CELLS_SEARCHED: Final = 8
#: How many of the largest distances are verified against all contents: at first, and at most.
_FIRST_VERIFIED: Final = 512
_MAX_VERIFIED: Final = 4096
#: Rows compared at once.
_BATCH: Final = 4096
#: Trees, images per tree (Liu et al. 2008), and images from which these are drawn.
_TREES: Final = 200
_PER_TREE: Final = 256
_FOREST_SAMPLE: Final = 16_384

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourGraph:
    """The nearest neighbours of m contents, nearest first.

    ``near`` (m, k) int64 holds positions, -1 where there are fewer; ``distance`` (m, k) float32 holds 1 − cosine.
    """

    near: Ids
    distance: Float32


@dataclass(frozen=True, slots=True)
class OutlierRequest:
    """The arguments of :func:`imseek.clusters.outliers`."""

    method: OutlierMethod
    limit: int
    k: int
    where: str | None
    save: str | None
    replace: bool
    seed: int


def find_outliers(reader: Reader, request: OutlierRequest, task: Task) -> OutlierReport:
    """Find outliers and report them; raises like :func:`imseek.clusters.outliers`."""
    if request.save is not None:
        check_name(reader, request.save, KIND, (request.save,), replace=request.replace)
    vectors = Vectors(reader, allowed=filter_ids(reader, request.where))
    if request.save is not None and not len(vectors):
        raise UsageError("there are no images to analyse", hint="index some, or widen --where")
    unique = find_unique_vectors(vectors, task)
    notes: list[str] = []
    k = min(request.k, max(0, len(unique.first) - 1))
    if 0 < k < request.k:
        notes.append(f"only {len(unique.first):,} contents differ: each has {k} neighbours")
    if k == 0:
        notes.append("fewer than two contents: none is farther from the others than another")
        scores = np.zeros(0)
    elif request.method == "isolation":
        scores = isolation_scores(vectors, unique, request.seed, task)
    else:
        graph = find_neighbours(vectors, unique, k, request.seed, task)
        if request.method == "knn":
            scores, is_certain = verify_largest(vectors, unique, graph, request.limit, task)
            if not is_certain:
                notes.append("there may be others as far from everything: not all were compared with all")
        else:
            scores = local_outlier_factors(graph)
            if len(unique.first) > MAX_EXACT:
                notes.append("neighbours were looked for among the nearest cells: a few may have been missed")
    report = _build_report(vectors, unique, request, k, scores, notes)
    return report if request.save is None else _save(vectors, unique, request, scores, report)


def find_neighbours(vectors: Vectors, unique: UniqueVectors, k: int, seed: int, task: Task) -> NeighbourGraph:
    """Find the ``k`` nearest other contents of each content.

    Exact up to ``MAX_EXACT`` contents. Larger sets are split by k-means into cells of about a thousand, and each
    content is compared with its own cell and the nearest cells. A closer neighbour in another cell is missed, so
    distances are never too small. Memory: 12 · k bytes for each content, plus 200 MB.
    """
    m = len(unique.first)
    best = _TopNeighbours(m, k)
    for at, others in _iter_cells(vectors, unique, seed, task):
        for start in range(0, len(at), _BATCH):
            block = at[start : start + _BATCH]
            best.compare(vectors, unique.first, block, others)
            task.step(NEIGHBOURS_PHASE, best.compared_count, m)
    return NeighbourGraph(best.near, np.maximum(0, 1 - best.cosine))


def _iter_cells(vectors: Vectors, unique: UniqueVectors, seed: int, task: Task) -> Iterator[tuple[Ids, Ids]]:
    """Yield, for each cell, the numbers of its contents and those of the contents to compare them with."""
    m = len(unique.first)
    if m <= MAX_EXACT:
        yield np.arange(m), np.arange(m)
        return
    task.step(kmeans_clusters.FITTING, 0, None)
    count = m // _CELL_SIZE
    rows = kmeans_clusters.sample_rows(vectors, kmeans_clusters.TRAINING_BYTES // (4 * vectors.dim), seed)
    centres = kmeans.centres_of(rows, min(count, len(unique_numbers(hash_rows(rows)))), seed=seed)
    label = np.empty(m, np.int64)
    for start in range(0, m, _BATCH):
        task.step(kmeans_clusters.ASSIGNING, start, m)
        part = slice(start, start + _BATCH)
        label[part] = kmeans.nearest_centres(vectors.at(unique.first[part]), centres, 1)[0][:, 0]
    members = members_of(label, len(centres))
    beside = np.argsort(-(centres @ centres.T), axis=1)[:, :_CELLS_SEARCHED]
    for at, cells in zip(members, beside.tolist(), strict=True):
        if len(at):
            yield at, np.sort(np.concatenate([members[n] for n in cells]))


class _TopNeighbours:
    """The nearest contents found so far: ``near`` (m, k) numbers, -1 for none, and ``cosine`` (m, k), NaN for none.

    Each row is sorted by descending cosine.
    """

    def __init__(self, m: int, k: int) -> None:
        self.near = np.full((m, k), -1, np.int64)
        self.cosine = np.full((m, k), np.nan, np.float32)
        self.compared_count = 0

    def compare(self, vectors: Vectors, first: Ids, block: Ids, others: Ids) -> None:
        """Compare all of ``block`` with all of ``others``; both are indexes into ``first``, the positions of the
        contents."""
        k = self.near.shape[1]
        rows = vectors.at(first[block])
        near, cosine = np.full((len(block), k), -1, np.int64), np.full((len(block), k), -2, np.float32)
        for start in range(0, len(others), _BATCH):
            batch = others[start : start + _BATCH]
            # One more than needed: each content is its own nearest neighbour.
            number, product = kmeans.nearest_centres(rows, vectors.at(first[batch]), k + 1)
            numbers = batch[number]
            product = np.where(numbers == block[:, np.newaxis], np.float32(-2), product)
            near, cosine = np.hstack([near, numbers]), np.hstack([cosine, product])
            order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
            near = np.take_along_axis(near, order, axis=1)
            cosine = np.take_along_axis(cosine, order, axis=1)
        is_found = cosine > -2
        self.near[block] = np.where(is_found, near, -1)
        self.cosine[block] = np.where(is_found, cosine, np.nan)
        self.compared_count += len(block)


def verify_largest(
    vectors: Vectors, unique: UniqueVectors, graph: NeighbourGraph, limit: int, task: Task
) -> tuple[Floats, bool]:
    """Return mean distances (m,), exact for the largest, and whether the ``limit`` largest are certain.

    Approximate distances are never too small. The largest are certain once no remaining one exceeds them.
    """
    scores = mean_distances(graph)
    m, k = graph.near.shape
    if m <= MAX_EXACT or not limit:
        return scores, True
    best, order = _TopNeighbours(m, k), np.argsort(-scores, kind="stable")
    verified, target = 0, max(_FIRST_VERIFIED, limit)
    while True:
        upto = min(target, m)
        for start in range(verified, upto, _BATCH):
            task.step(VERIFYING_PHASE, start, upto)
            best.compare(vectors, unique.first, order[start : min(start + _BATCH, upto)], np.arange(m))
        verified, largest = upto, order[:upto]
        exact = mean_distances(NeighbourGraph(best.near[largest], np.maximum(0, 1 - best.cosine[largest])))
        is_certain = bool(upto == m or np.sort(exact)[-min(limit, upto)] >= scores[order[upto]])
        if is_certain or upto >= _MAX_VERIFIED:
            scores[largest] = exact
            return scores, is_certain
        target *= 4


def mean_distances(graph: NeighbourGraph) -> Floats:
    """Mean distance to the k nearest neighbours (m,) (Angiulli and Pizzuti 2002); 2 where no neighbour was found."""
    is_found = graph.near >= 0
    counts = is_found.sum(axis=1)
    sums = np.where(is_found, graph.distance, 0).sum(axis=1, dtype=np.float64)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), 2.0), where=counts > 0)
    return means


def local_outlier_factors(graph: NeighbourGraph) -> Floats:
    """Local outlier factors (m,): the density around the k nearest neighbours over that around the image itself.

    About 1 inside a cluster, at most 2⁶⁴ (Breunig et al. 2000, *LOF*, definitions 5 to 7).
    """
    is_found = graph.near >= 0
    counts = np.maximum(is_found.sum(axis=1), 1)
    reach = np.where(is_found, graph.distance, -np.inf).max(axis=1)  # The distance to the k-th nearest.
    at = np.where(is_found, graph.near, 0)
    reachable = np.where(is_found, np.maximum(reach[at], graph.distance), 0).sum(axis=1, dtype=np.float64)
    density = counts / np.maximum(reachable, 1e-10)
    factor: Floats = np.where(is_found, density[at], 0).sum(axis=1) / counts / density
    factor[~is_found.any(axis=1)] = 2.0**64
    return factor


def isolation_scores(vectors: Vectors, unique: UniqueVectors, seed: int, task: Task) -> Floats:
    """Anomaly scores (m,) of an isolation forest, in (0, 1), 0.5 for a typical image (Liu, Ting and Zhou 2008).

    Raises MissingExtraError.
    """
    try:
        from sklearn.ensemble import IsolationForest
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "explore") from error
    m = len(unique.first)
    task.step(ISOLATION_PHASE, 0, m)
    sample = vectors.at(unique.first[sample_positions(m, _FOREST_SAMPLE, seed)])
    forest = IsolationForest(n_estimators=_TREES, max_samples=min(_PER_TREE, len(sample)), random_state=seed).fit(
        sample
    )
    scores = np.empty(m)
    for start in range(0, m, _BATCH):
        task.step(ISOLATION_PHASE, start, m)
        scores[start : start + _BATCH] = -forest.score_samples(vectors.at(unique.first[start : start + _BATCH]))
    return scores


def _build_report(
    vectors: Vectors, unique: UniqueVectors, request: OutlierRequest, k: int, scores: Floats, notes: list[str]
) -> OutlierReport:
    order = np.lexsort((unique.first[: len(scores)], -scores))[: request.limit]
    ids = vectors.ids[unique.first[order]].tolist()
    places = vectors.reader.places(ids)
    copies = unique.copies()[order].tolist() if len(order) else []
    reader = vectors.reader
    return OutlierReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        encoder=vectors.space.encoder,
        method=request.method,
        images=len(vectors),
        contents=len(unique.first),
        neighbours=0 if request.method == "isolation" else k,
        outliers=tuple(Shown(i, score, places.get(i)) for i, score in zip(ids, scores[order].tolist(), strict=True)),
        typical=float(np.median(scores)) if len(scores) else None,
        copies={i: more for i, more in zip(ids, copies, strict=True) if more},
        notes=tuple(notes),
    )


def _save(
    vectors: Vectors, unique: UniqueVectors, request: OutlierRequest, scores: Floats, report: OutlierReport
) -> OutlierReport:
    from imseek.data.shards import derived_results

    assert request.save is not None
    if not len(scores):
        raise UsageError("there is nothing to store: fewer than two contents")
    has_vector = unique.group >= 0
    ids, image_scores = vectors.ids[has_vector].tolist(), scores[unique.group[has_vector]].round(6).tolist()
    facts: dict[str, Any] = {
        "method": request.method,
        "neighbours": report.neighbours,
        "where": request.where,
        "seed": request.seed,
        "encoder": vectors.space.encoder,
        "fingerprint": vectors.space.fingerprint,
        "typical": report.typical,
    }
    values = {request.save: dict(zip(ids, image_scores, strict=True))}
    generation = derived_results.store(vectors.reader.root, values, Model(request.save, KIND, facts))
    return replace(report, generation=generation, saved=request.save)
