"""Recall and speed of a space's approximate index, compared with exact search.

The index was measured when it was built (``imseek info``), on rows held out from training. This evaluates it on the
collection as it is now: with other queries, after additions and removals, and with the user's own texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.snapshot_session import SnapshotSession
from imseek.analysis.space_vectors import Vectors
from imseek.captions.encode_texts import encode_unique_texts, load_text_encoder
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, VectorIndex, tuning
from imseek.data.vectors.base import Ids
from imseek.data.vectors.index_info import info_of
from imseek.data.vectors.index_metadata import RECALL_K
from imseek.errors import QueryError, UsageError
from imseek.evaluate.results import NeighbourKind, NeighbourReport, QueryKind, QueryOrigin
from imseek.evaluate.retrieval_evaluation import space_of
from imseek.input_file import map_array, read_input
from imseek.metrics.bootstrap import interval
from imseek.progress import SILENT, Cancelled, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import IndexInfo, SpaceInfo

QUERIES: Final = 200
#: Scores closer than this belong to equal rows: float32 products depend on the order of summation.
_SCORE_TOLERANCE: Final = 1e-6
#: Queries whose exact search is timed, one by one.
_TIMED_QUERIES: Final = 10
#: Queries searched exactly at once.
_BATCH: Final = 50
_SEED: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class RecallRequest:
    """What to evaluate. ``own_queries`` are unit rows (n, dim), texts, or the path of a file of either."""

    space: int | str | None = None
    queries: int = QUERIES
    ks: Sequence[int] = (RECALL_K,)
    filtered: float | None = None
    own_queries: Path | Sequence[str] | npt.NDArray[Any] | None = None
    query_kind: QueryKind = "text"


@dataclass(frozen=True, slots=True, eq=False)
class _QuerySet:
    """A set of queries: (n, dim) unit rows; ``own`` (n,) are the ids of the images they belong to, -1 for none."""

    kind: QueryKind
    origin: QueryOrigin
    rows: Float32
    own: Ids


def evaluate(
    session: SnapshotSession,
    request: RecallRequest,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> NeighbourReport:
    """Evaluate an index; see :func:`imseek.evaluate.ann`."""
    reader = session.reader
    space = space_of(reader, request.space)
    index = session.index(space)
    ks = _check_request(request, len(index))
    query_sets = list(_iter_query_sets(reader, space, request, notify))
    allowed = _draw_filter(index, request.filtered)
    if allowed is not None and len(allowed) < max(ks):
        raise UsageError(f"a filter of {request.filtered:g} leaves {len(allowed)} images, and k is {max(ks)}")
    info = info_of(reader, space.space_id)
    total = sum(len(query_set.rows) for query_set in query_sets) * len(ks)
    kinds: list[NeighbourKind] = []
    query_count = 0

    def count_query() -> None:
        nonlocal query_count
        query_count += 1
        task.report("queries", query_count, total)

    with suppress(Cancelled):
        for query_set in query_sets:
            kinds.append(_measure(index, query_set, ks, allowed, info, count_query, task))
    return NeighbourReport(
        encoder=space.encoder,
        space_id=space.space_id,
        generation=reader.generation,
        images=len(index),
        index=None if info is None or index.exact else info.kind,
        filtered=request.filtered,
        kinds=tuple(kinds),
        interrupted=len(kinds) < len(query_sets),
        notes=_notes(session, space, index),
    )


def _check_request(request: RecallRequest, images: int) -> tuple[int, ...]:
    if images < 2:
        raise UsageError(f"{images} images have no neighbours")
    if request.queries < 1:
        raise UsageError(f"so many queries cannot be asked: {request.queries}")
    if not request.ks or not all(1 <= k < images for k in request.ks):
        raise UsageError(f"k lies between 1 and {images - 1}, one less than there are images")
    if request.filtered is not None and not 0 < request.filtered <= 1:
        raise UsageError(f"{request.filtered} is not a share", hint="above 0, and 1 at the most")
    return tuple(sorted(set(request.ks)))


def _iter_query_sets(
    reader: Reader, space: SpaceInfo, request: RecallRequest, notify: Callable[[str], None] | None
) -> Iterator[_QuerySet]:
    if request.own_queries is not None:
        rows, kind = _load_own_queries(reader, space, request, notify)
        yield _QuerySet(kind, "given", rows, np.full(len(rows), -1, np.int64))
        return
    vectors = Vectors(reader, space)
    drawn_ids = _draw_ids(vectors, request.queries)
    rows = vectors.of(drawn_ids)
    is_nonzero = rows.any(axis=1)
    yield _QuerySet("image", "stored", rows[is_nonzero], drawn_ids[is_nonzero])
    captions = reader.current.caption_space
    if captions is not None and captions.fingerprint == space.fingerprint:
        caption_vectors = Vectors(reader, captions)
        if len(caption_vectors):
            rows_of_captions = caption_vectors.of(_draw_ids(caption_vectors, request.queries))
            yield _QuerySet("text", "captions", rows_of_captions, np.full(len(rows_of_captions), -1, np.int64))
            return
    # Few rows do not show how all are spread.
    rows = vectors.of(_draw_ids(vectors, max(request.queries, tuning.QUERIES)))
    synthetic = tuning.text_like_queries(rows[rows.any(axis=1)], seed=_SEED)
    count = min(request.queries, len(synthetic))
    synthetic = synthetic[np.linspace(0, len(synthetic) - 1, count).astype(np.int64)]
    yield _QuerySet("text", "made from pictures", synthetic, np.full(len(synthetic), -1, np.int64))


def _draw_ids(vectors: Vectors, count: int) -> Ids:
    """Draw random ids, ascending, always the same."""
    positions = np.random.default_rng(_SEED).choice(len(vectors), min(count, len(vectors)), replace=False)
    return vectors.ids[np.sort(positions)]


def _load_own_queries(
    reader: Reader, space: SpaceInfo, request: RecallRequest, notify: Callable[[str], None] | None
) -> tuple[Float32, QueryKind]:
    queries: Any = request.own_queries
    if isinstance(queries, Path):
        queries = _read_queries(queries)
    if not isinstance(queries, np.ndarray):
        texts = [text.strip() for text in queries if text.strip()]
        if not texts:
            raise QueryError("no query is given")
        rows = encode_unique_texts(load_text_encoder(reader.root, space, notify), texts)
        return rows, "text"
    if queries.ndim != 2 or queries.shape[1] != space.dim or not len(queries):
        raise QueryError(f"queries of shape {queries.shape}, and vectors of {space.encoder} have {space.dim} numbers")
    wide = queries.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(wide).all() or not norms.all():
        raise QueryError("a query is all zeros, or not finite")
    return (wide / norms).astype(np.float32), request.query_kind


def _read_queries(path: Path) -> Any:
    try:
        if path.suffix == ".npy":
            return map_array(path)
        return read_input(path).decode("utf-8").splitlines()
    except (OSError, ValueError, EOFError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"{path} cannot be read: {why}", hint="vectors as .npy, or a text a line in UTF-8") from error


def _draw_filter(index: VectorIndex, share: float | None) -> IdSet | None:
    """Draw a random share of the live images."""
    if share is None:
        return None
    live = np.concatenate([segment.ids[segment.searchable()] for segment in index.segments])
    return IdSet(live[np.random.default_rng(_SEED).random(len(live)) < share])


def _measure(
    index: VectorIndex,
    queries: _QuerySet,
    ks: Sequence[int],
    allowed: IdSet | None,
    info: IndexInfo | None,
    count_query: Callable[[], None],
    task: Task,
) -> NeighbourKind:
    """Measure recall and latency for one set of queries; ``count_query`` is called for each. Raises Cancelled."""
    text, deep = queries.kind == "text", max(ks) + 1  # one more, because a stored row finds itself
    truth = []
    for start in range(0, len(queries.rows), _BATCH):
        task.check()
        batch = queries.rows[start : start + _BATCH]
        truth += index.search(batch, deep, allowed=allowed, text=text, exact=True)
    exact_ms = []
    for row in queries.rows[:_TIMED_QUERIES]:
        began = time.perf_counter()
        index.search(row[np.newaxis], deep, allowed=allowed, text=text, exact=True)
        exact_ms.append(1000 * (time.perf_counter() - began))
    shares: dict[int, list[float]] = {}
    wall: list[float] = []
    processor = 0.0
    for k in ks:  # separately, because a larger k examines more candidates
        count, shares[k] = k + (queries.own >= 0), []
        index.search(queries.rows[:1], k + 1, allowed=allowed, text=text)  # warm up
        wall, cpu = [], time.process_time()
        for row, owner, best, depth in zip(queries.rows, queries.own.tolist(), truth, count.tolist(), strict=True):
            task.check()
            began = time.perf_counter()
            (answer,) = index.search(row[np.newaxis], depth, allowed=allowed, text=text)
            wall.append(1000 * (time.perf_counter() - began))
            exact_scores, scores = best.scores[best.ids != owner], answer.scores[answer.ids != owner]
            expected = min(k, len(exact_scores))
            hits = np.count_nonzero(scores >= exact_scores[expected - 1] - _SCORE_TOLERANCE)
            shares[k].append(min(expected, int(hits)) / expected)
            count_query()
        processor = 1000 * (time.process_time() - cpu) / len(wall)
    recorded_recall = None
    if info is not None and allowed is None and not index.exact:
        recorded_recall = info.text_recall if text else info.image_recall
    return NeighbourKind(
        kind=queries.kind,
        came=queries.origin,
        queries=len(queries.rows),
        recall={k: interval(np.array(shares[k])) for k in ks},
        stated=recorded_recall,
        median_ms=float(np.median(wall)),
        p99_ms=float(np.percentile(wall, 99)),
        cpu_ms=processor,
        exact_ms=float(np.median(exact_ms)),
    )


def _notes(session: SnapshotSession, space: SpaceInfo, index: VectorIndex) -> tuple[str, ...]:
    damaged = session.damage_note(space)
    if damaged is not None:
        return (damaged,)
    return ("there is no approximate index: every search is exact",) if index.exact else ()
