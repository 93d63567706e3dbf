"""What lies on a map, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from imseek.data import models
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.explore.maps import map_store
from imseek.explore.snapshot_session import allowed
from imseek.explore.space_vectors import Vectors
from imseek.search.where.column_values import check as check_names
from imseek.search.where.column_values import values
from imseek.types import Float32

#: The columns that a table has in any case.
OWN: Final = ("image_id", "x", "y", "fitted")


def of(reader: Reader, name: str, where: str | None, columns: Sequence[str]) -> pa.Table:
    """See :func:`imseek.maps.table`."""
    _model(reader, name)
    wanted = [column for column in dict.fromkeys(columns) if column not in OWN]
    places = map_store.read(reader, name)
    live = Vectors(reader, allowed=allowed(reader, where))
    places = places.only(live.positions(places.ids) >= 0)
    if where is not None and not len(places):
        raise UsageError(
            "no image on the map meets the condition", hint="docs/where.md says what it can be made of"
        )
    table = pa.table(
        {
            "image_id": pa.array(places.ids),
            "x": pa.array(places.coordinates[:, 0]),
            "y": pa.array(places.coordinates[:, 1]),
            "fitted": pa.array(places.fitted),
        }
    )
    for column, found in zip(wanted, _values(reader, wanted, places.ids), strict=True):
        table = table.append_column(column, found)
    return table


def missing(reader: Reader, name: str) -> Ids:
    """Ids (m,) of live images that a map is of and that have no place on it. Raises UsageError."""
    info = map_store.info_of(_model(reader, name))
    live = Vectors(reader, allowed=allowed(reader, info.where))
    return live.ids[~map_store.read(reader, name).has(live.ids)]


def _model(reader: Reader, name: str) -> models.Model:
    model = models.find(reader.root, name)
    if model is None or model.kind != map_store.KIND:
        raise no_map(reader, name)
    return model


def _values(reader: Reader, columns: Sequence[str], ids: Ids) -> list[pa.ChunkedArray]:
    """Of live images with these ids, which ascend, in their order."""
    parts = list(values(reader, columns)) if columns else []
    if not parts:
        return [pa.chunked_array([pa.nulls(0)]) for _ in columns]
    everything = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    order = np.argsort(everything, kind="stable")
    at = pa.array(order[np.searchsorted(everything, ids, sorter=order)])
    found = (pa.chunked_array([part[1][n] for part in parts]) for n in range(len(columns)))
    # Perceptual hashes come as decimals: whole numbers of 64 bits without a sign.
    return [(one.cast(pa.uint64()) if pa.types.is_decimal(one.type) else one).take(at) for one in found]


def check(reader: Reader, columns: Sequence[str]) -> None:
    """See :func:`imseek.maps.check_columns`."""
    check_names(reader, [column for column in columns if column not in OWN])


def coordinates(table: pa.Table) -> Float32:
    """(n, 2)"""
    return np.stack([table.column(name).to_numpy() for name in ("x", "y")], axis=1)


def no_map(reader: Reader, name: str) -> UsageError:
    there_are = [model.name for model in models.of_kind(reader.root, map_store.KIND)]
    hint = f"there are: {', '.join(there_are)}" if there_are else "imseek map lays one out"
    return UsageError(f"no map {name}", hint=hint)
