"""Images far from everything else: by their nearest neighbours, by how sparse it is around them, by random cuts.

Copies of a picture share their vector and count as one, so that an outlier that is there twice stays one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.models import Model
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, open_index
from imseek.data.vectors.base import Ids
from imseek.data.vectors.joins import Join, Rows
from imseek.errors import MissingExtraError, UsageError
from imseek.explore.clusters.fitting import some
from imseek.explore.distinct import Distinct, distinct
from imseek.explore.reading import allowed
from imseek.explore.saving import check_name
from imseek.explore.telling import Telling
from imseek.explore.vectors import Vectors
from imseek.types import Float32, OutlierMethod, OutlierReport, Shown

KIND: Final = "outliers"
LOOKING: Final = "looking for neighbours"
CUTTING: Final = "cutting at random"
NEIGHBOURS: Final = 10
MOST_NEIGHBOURS: Final = 100
#: Without an index, up to so many images are compared each with each: 2 minutes on two cores.
EACH_WITH_EACH: Final = 131_072
#: Rows that are asked about at the same time.
_ASKED: Final = 4096
#: Trees, and images that each is grown on (Liu et al. 2008); images that these are drawn from.
_TREES: Final = 200
_PER_TREE: Final = 256
_DRAWN_FROM: Final = 16_384

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The nearest neighbours of m contents: positions (m, k) int64, -1 where there are fewer, and distances (m, k)
    float32 (1 − cosine), the nearest first."""

    near: Ids
    distance: Float32


@dataclass(frozen=True, slots=True)
class Asked:
    """What :func:`imseek.clusters.outliers` is asked for."""

    method: OutlierMethod
    limit: int
    k: int
    where: str | None
    save: str | None
    replace: bool
    seed: int


def find(reader: Reader, asked: Asked, telling: Telling) -> OutlierReport:
    """Raises as :func:`imseek.clusters.outliers`."""
    if asked.save is not None:
        check_name(reader, asked.save, KIND, (asked.save,), replace=asked.replace)
    vectors = Vectors(reader, allowed=allowed(reader, asked.where))
    if asked.save is not None and not len(vectors):
        raise UsageError("there are no images to look at", hint="index some, or widen --where")
    differ = distinct(vectors, telling)
    notes: list[str] = []
    k = min(asked.k, max(0, len(differ.first) - 1))
    if 0 < k < asked.k:
        notes.append(f"only {len(differ.first):,} contents differ: each has {k} neighbours")
    if k == 0:
        notes.append("fewer than two contents: none is farther from the others than another")
        scores = np.zeros(0)
    elif asked.method == "isolation":
        scores = isolation(vectors, differ, asked.seed, telling)
    else:
        graph = neighbours(vectors, differ, k, telling)
        scores = mean_distances(graph) if asked.method == "knn" else local_outlier_factors(graph)
    report = _report(vectors, differ, asked, k, scores, notes)
    return report if asked.save is None else _saved(vectors, differ, asked, scores, report)


def neighbours(vectors: Vectors, differ: Distinct, k: int, telling: Telling) -> Graph:
    """The ``k`` nearest other contents of each, through the vector index where there is one, else exact.

    Memory: 12 · k bytes for each content, and 100 MB. Raises UsageError without an index where there are too many.
    """
    reader, space = vectors.reader, vectors.space
    m = len(differ.first)
    snapshot = reader.snapshot(space.space_id)
    if snapshot is None and m > EACH_WITH_EACH:
        raise UsageError(
            f"{m:,} contents cannot be compared each with each",
            hint="`imseek maintain --index auto` makes an index to ask; or --method isolation",
        )
    segments = reader.segments(space.space_id)
    index = open_index("memory" if snapshot is None else "faiss", segments, space.dim, snapshot=snapshot)
    ids = vectors.ids[differ.first]
    join, rows = Join(index, IdSet(ids)), Rows(segments, space.dim)
    near = np.full((m, k), -1, np.int64)
    distance = np.full((m, k), np.nan, np.float32)
    for start in range(0, m, _ASKED):
        telling.tell(LOOKING, start, m)
        mine = ids[start : start + _ASKED]
        found = join.near(rows.of(mine)[1], -1.0, k + 1)
        other = ids_at(ids, found.ids)
        away = (other >= 0) & (other != found.query + start)
        query, other, cosine = found.query[away], other[away], found.cosines[away]
        # In the order of queries, the nearest first: the place of each among those of its query.
        place = np.arange(len(query)) - np.searchsorted(query, query)
        kept = place < k
        near[query[kept] + start, place[kept]] = other[kept]
        distance[query[kept] + start, place[kept]] = np.maximum(0, 1 - cosine[kept])
        rows.release()
    return Graph(near, distance)


def ids_at(ids: Ids, wanted: Ids) -> Ids:
    """(n,): at which place of ``ids``, ascending, each one is; -1 where it is not."""
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[at] == wanted, at, -1)


def mean_distances(graph: Graph) -> Floats:
    """(m,): the mean distance to the k nearest (Angiulli and Pizzuti 2002); 2 where no neighbour was found."""
    known = graph.near >= 0
    counts = known.sum(axis=1)
    sums = np.where(known, graph.distance, 0).sum(axis=1, dtype=np.float64)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), 2.0), where=counts > 0)
    return means


def local_outlier_factors(graph: Graph) -> Floats:
    """(m,): the density around the k nearest neighbours over that around the image itself (Breunig et al. 2000,
    *LOF*, definitions 5 to 7), about 1 for what lies among its like; 2⁶⁴ at most."""
    known = graph.near >= 0
    counts = np.maximum(known.sum(axis=1), 1)
    reach = np.where(known, graph.distance, -np.inf).max(axis=1)  # The distance to the k-th nearest.
    at = np.where(known, graph.near, 0)
    reachable = np.where(known, np.maximum(reach[at], graph.distance), 0).sum(axis=1, dtype=np.float64)
    density = counts / np.maximum(reachable, 1e-10)
    factor: Floats = np.where(known, density[at], 0).sum(axis=1) / counts / density
    factor[~known.any(axis=1)] = 2.0**64
    return factor


def isolation(vectors: Vectors, differ: Distinct, seed: int, telling: Telling) -> Floats:
    """(m,): the anomaly score of an isolation forest (Liu, Ting and Zhou 2008), in (0, 1), 0.5 for what is usual.
    Raises MissingExtraError."""
    try:
        from sklearn.ensemble import IsolationForest
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "explore") from error
    m = len(differ.first)
    telling.tell(CUTTING, 0, m)
    drawn = vectors.at(differ.first[some(m, _DRAWN_FROM, seed)])
    forest = IsolationForest(
        n_estimators=_TREES, max_samples=min(_PER_TREE, len(drawn)), random_state=seed
    ).fit(drawn)
    scores = np.empty(m)
    for start in range(0, m, _ASKED):
        telling.tell(CUTTING, start, m)
        scores[start : start + _ASKED] = -forest.score_samples(
            vectors.at(differ.first[start : start + _ASKED])
        )
    return scores


def _report(
    vectors: Vectors, differ: Distinct, asked: Asked, k: int, scores: Floats, notes: list[str]
) -> OutlierReport:
    order = np.lexsort((differ.first[: len(scores)], -scores))[: asked.limit]
    ids = vectors.ids[differ.first[order]].tolist()
    places = vectors.reader.places(ids)
    copies = differ.copies()[order].tolist() if len(order) else []
    reader = vectors.reader
    return OutlierReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        encoder=vectors.space.encoder,
        method=asked.method,
        images=len(vectors),
        contents=len(differ.first),
        neighbours=0 if asked.method == "isolation" else k,
        outliers=tuple(
            Shown(i, score, places.get(i)) for i, score in zip(ids, scores[order].tolist(), strict=True)
        ),
        typical=float(np.median(scores)) if len(scores) else None,
        copies={i: more for i, more in zip(ids, copies, strict=True) if more},
        notes=tuple(notes),
    )


def _saved(
    vectors: Vectors, differ: Distinct, asked: Asked, scores: Floats, report: OutlierReport
) -> OutlierReport:
    from imseek.data import derived

    assert asked.save is not None
    if not len(scores):
        raise UsageError("there is nothing to store: fewer than two contents")
    known = differ.group >= 0
    ids, mine = vectors.ids[known].tolist(), scores[differ.group[known]].round(6).tolist()
    facts: dict[str, Any] = {
        "method": asked.method,
        "neighbours": report.neighbours,
        "where": asked.where,
        "seed": asked.seed,
        "encoder": vectors.space.encoder,
        "fingerprint": vectors.space.fingerprint,
        "typical": report.typical,
    }
    values = {asked.save: dict(zip(ids, mine, strict=True))}
    generation = derived.store(vectors.reader.root, values, Model(asked.save, KIND, facts))
    return replace(report, generation=generation, saved=asked.save)
