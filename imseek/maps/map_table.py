"""A map as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.maps import map_store
from imseek.search.where.column_values import resolve_kinds, values
from imseek.types.arrays import Float32

#: Columns of every such table.
OWN_COLUMNS: Final = ("image_id", "x", "y", "fitted")


def build_table(reader: Reader, name: str, where: str | None, columns: Sequence[str]) -> pa.Table:
    """Build the table of a map; see :func:`imseek.maps.table`."""
    _find_map(reader, name)
    extra_columns = [column for column in dict.fromkeys(columns) if column not in OWN_COLUMNS]
    places = map_store.read(reader, name)
    live = Vectors(reader, allowed=filter_ids(reader, where))
    places = places.only(live.positions(places.ids) >= 0)
    if where is not None and not len(places):
        raise UsageError("no image on the map meets the condition", hint="docs/where.md says what it can be made of")
    table = pa.table(
        {
            "image_id": pa.array(places.ids),
            "x": pa.array(places.coordinates[:, 0]),
            "y": pa.array(places.coordinates[:, 1]),
            "fitted": pa.array(places.fitted),
        }
    )
    for column, column_values in zip(extra_columns, _read_columns(reader, extra_columns, places.ids), strict=True):
        table = table.append_column(column, column_values)
    return table


def find_missing(reader: Reader, name: str) -> Ids:
    """Return the ids (m,) of live images in a map's scope without a position. Raises UsageError."""
    info = map_store.info_of(_find_map(reader, name))
    live = Vectors(reader, allowed=filter_ids(reader, info.where))
    return live.ids[~map_store.read(reader, name).has(live.ids)]


def _find_map(reader: Reader, name: str) -> models.Model:
    model = models.find(reader.root, name)
    if model is None or model.kind != map_store.KIND:
        raise no_map_error(reader, name)
    return model


def _read_columns(reader: Reader, columns: Sequence[str], ids: Ids) -> list[pa.ChunkedArray]:
    """Read columns of live images, in the order of ``ids``, ascending."""
    parts = list(values(reader, columns)) if columns else []
    if not parts:
        return [pa.chunked_array([pa.nulls(0)]) for _ in columns]
    all_ids = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    order = np.argsort(all_ids, kind="stable")
    at = pa.array(order[np.searchsorted(all_ids, ids, sorter=order)])
    chunked = (pa.chunked_array([part[1][n] for part in parts]) for n in range(len(columns)))
    # Perceptual hashes arrive as decimals: convert them to unsigned 64-bit integers.
    return [_flat(one).take(at) for one in chunked]


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of single values: lists become text."""
    if pa.types.is_list(column.type):
        return pa.chunked_array([pc.binary_join(chunk, ", ") for chunk in column.chunks], pa.string())
    return column.cast(pa.uint64()) if pa.types.is_decimal(column.type) else column


def check_columns(reader: Reader, columns: Sequence[str]) -> None:
    """Check column names; see :func:`imseek.maps.check_columns`."""
    resolve_kinds(reader, [column for column in columns if column not in OWN_COLUMNS])


def coordinates(table: pa.Table) -> Float32:
    """Return the coordinates (n, 2) in a table."""
    return np.stack([table.column(name).to_numpy() for name in ("x", "y")], axis=1)


def no_map_error(reader: Reader, name: str) -> UsageError:
    """Build the error for a map that does not exist."""
    names = [model.name for model in models.of_kind(reader.root, map_store.KIND)]
    hint = f"there are: {', '.join(names)}" if names else "`imseek map` lays one out"
    return UsageError(f"no map {name!r}", hint=hint)
