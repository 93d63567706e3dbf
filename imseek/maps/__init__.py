"""Two-dimensional maps of a collection, on which similar images are close: ``imseek.maps.lay_out(collection)``.

>>> report = imseek.maps.lay_out("photos.imseek")      # doctest: +SKIP
>>> imseek.maps.table("photos.imseek", columns=["path"]).to_pylist()      # doctest: +SKIP
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.maps import map_store, map_table, pipeline
from imseek.maps.map_store import NAME
from imseek.maps.pipeline import MAX_FITTED, MapRequest
from imseek.maps.representatives import choose_representatives
from imseek.maps.results import MapInfo, MapMethod, MapReport
from imseek.progress import ProgressCallback, Task
from imseek.search.query import Query, Question, as_query
from imseek.search.query_options import By
from imseek.search.where.column_values import list_columns
from imseek.types.arrays import Float32
from imseek.types.collection_arguments import AnyCollection, path_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imseek.collection import Collection

__all__ = [
    "MAX_FITTED", "NAME", "check_columns", "columns", "drop", "find", "lay_out", "maps", "missing", "representative",
    "scores", "table",
]  # fmt: skip


def lay_out(
    collection: AnyCollection,
    *,
    method: MapMethod | None = None,
    name: str = NAME,
    refit: bool = False,
    neighbours: int | None = None,
    min_dist: float | None = None,
    seed: int | None = None,
    where: str | None = None,
    sample: int = MAX_FITTED,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> MapReport:
    """Lay out the images of a collection, or those that meet ``where``, on a plane, and store the map under a name.

    An existing map keeps its layout, and new images are placed on it; ``refit`` lays out everything again. Omitted
    options, including ``where``, keep the values of the existing map. Vectors are those of the space that text queries
    are searched in.

    ``method`` is ``"umap"`` (default; McInnes et al. 2018; cosine) or ``"pca"`` (principal components, a quick
    overview). For UMAP, ``neighbours`` (15) is the neighbourhood size and ``min_dist`` (0.1) the minimum distance
    between points; the same ``seed`` gives the same map. At most ``sample`` images are fitted; the others are placed
    among them.

    If ``stop`` is set, the report is marked ``interrupted``; images placed by then are stored, and the same call
    continues, but an unfinished layout is discarded. Raises UsageError (also if the existing map was made in another
    way), QueryError (``where``), MissingExtraError, CollectionNotFoundError, CorruptCollectionError, LockedError,
    ReadOnlyError, StorageError.
    """
    if method is not None and method not in get_args(MapMethod):
        raise UsageError(f"{method!r} is not a way to lay out a map", hint=f"one of {', '.join(get_args(MapMethod))}")
    if neighbours is not None and neighbours < 2:
        raise UsageError(f"a map by {neighbours} neighbours would fall to pieces", hint="2 at least; 15 is usual")
    if min_dist is not None and not (math.isfinite(min_dist) and 0 <= min_dist <= 1):
        raise UsageError(f"images cannot be kept {min_dist} apart", hint="between 0 and 1; 0.1 is usual")
    if seed is not None and not 0 <= seed < 2**32:
        raise UsageError(f"{seed} cannot be a seed", hint="a whole number from 0 to 4294967295")
    if sample < 100:
        raise UsageError(f"{sample} images are too few to place others among", hint="100 at least")
    if method == "pca" and (neighbours is not None or min_dist is not None):
        raise UsageError("principal components know no neighbours and no distance to keep", hint="method umap does")
    root = path_of(collection)
    request = MapRequest(name, method, refit, neighbours, min_dist, seed, where, sample)
    task = Task(progress, stop)
    outcome = run_with_reader(root, lambda reader: pipeline.lay_out(reader, request, task))
    report = outcome.report
    if outcome.places is None:
        return report
    generation = map_store.store(root, report.info, outcome.places, outcome.axes)
    stored_info = find(root, name)
    return replace(report, info=stored_info or report.info, generation=generation, seconds=task.seconds)


def find(collection: AnyCollection, name: str = NAME) -> MapInfo | None:
    """Describe a map; None if there is none of that name. Raises CorruptCollectionError."""
    model = models.find(path_of(collection), name)
    return None if model is None or model.kind != map_store.KIND else map_store.info_of(model)


def maps(collection: AnyCollection) -> tuple[MapInfo, ...]:
    """List all maps of a collection, by name. Raises CorruptCollectionError."""
    return tuple(map_store.info_of(model) for model in models.of_kind(path_of(collection), map_store.KIND))


def table(
    collection: AnyCollection,
    name: str = NAME,
    *,
    where: str | None = None,
    columns: Sequence[str] = ("path",),
) -> pa.Table:
    """Return the live images of a map as an Arrow table, ordered by id.

    Columns: ``image_id`` (int64), ``x``, ``y`` (float32), ``fitted`` (bool), and the requested ``columns``: any that
    filters accept (docs/where.md). Raises UsageError if there is no such map, QueryError for an unknown column and for
    ``where``.
    """
    return run_with_reader(collection, lambda reader: map_table.build_table(reader, name, where, columns))


def missing(collection: AnyCollection, name: str = NAME) -> int:
    """Count the images that a map should include but that were added after it. Raises UsageError if there is none."""
    return run_with_reader(collection, lambda reader: len(map_table.find_missing(reader, name)))


def scores(collection: Collection, query: Question, image_ids: npt.ArrayLike, *, by: By = "image") -> Float32:
    """Score images against a query, for colouring a map: (n,) float32 for the ids (n,), in their order.

    The scores are those of :meth:`imseek.Collection.search`, at whatever rank. NaN marks images that do not exist, have
    nothing to compare, or do not meet the query's ``where``. Options that shape a result list (``limit``, ``cutoff``
    and so on) are ignored. Exact, in one pass over their vectors. Raises as a search.
    """
    ids = np.asarray(image_ids, np.int64).reshape(-1)
    return collection.engine.scores(query if isinstance(query, Query) else as_query(query, by=by), ids)


def columns(collection: AnyCollection) -> dict[str, str]:
    """List the columns that :func:`table` accepts, with their types.

    Types are ``"text"``, ``"a number"``, ``"a time"`` and so on. The collection's own columns come first.
    """
    return run_with_reader(collection, list_columns)


def check_columns(collection: AnyCollection, columns: Sequence[str]) -> None:
    """Check that :func:`table` knows these columns, before long work. Raises QueryError with similar names."""
    run_with_reader(collection, lambda reader: map_table.check_columns(reader, columns))


def representative(table: pa.Table, count: int) -> list[int]:
    """Choose at most ``count`` rows of a :func:`table` that cover the map, the most important first."""
    return [int(row) for row in choose_representatives(map_table.coordinates(table), count)]


def drop(collection: AnyCollection, name: str = NAME) -> MapInfo:
    """Delete a map and its columns; returns its description. Raises UsageError if there is no such map."""
    root = path_of(collection)
    info = find(root, name)
    if info is None:
        raise map_table.no_map_error(Reader(root), name)
    map_store.drop(root, name)
    return info
