"""Derived columns: values computed after indexing (scores, labels), row-aligned with a shard and replaceable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.sql import Connection
from imseek.data.files.collection_files import load_array
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.data.writing.writer import Change, Writer

#: Column sets that are not replaced by name.
_RESERVED = {
    layout.MEASURED: "`imseek maintain --measure`",
    layout.SIDECARS: "files beside pictures",
    layout.EDITS: "what users state about pictures",
}

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def is_valid_name(name: str) -> bool:
    """Whether a column set can have this name.

    It needs lower-case letters, digits and underscores, with a letter first. The names of the measures, of sidecars
    and of edits are reserved.
    """
    return layout.COLUMN_NAME.fullmatch(name) is not None and name not in _RESERVED


def put_columns(writer: Writer, name: str, columns: Mapping[str, Mapping[int, Any]]) -> int:
    """Store the column set ``name``: for each column, values by image id. Returns the generation.

    It replaces any column set of that name. Images without a value get null; without any columns the set is removed.
    Raises ValueError for a name that is not lower-case letters, digits and underscores, or a column that would hide an
    intrinsic one, and TypeError for a value that a column cannot hold
    (:func:`imseek.data.shards.shard_files.column_of`).
    """
    return writer.apply(columns_change(writer, name, columns))


def columns_change(writer: Writer, name: str, columns: Mapping[str, Mapping[int, Any]]) -> Change:
    """Make the change of :func:`put_columns`, as part of a larger commit on the current generation."""
    _check_name(name)
    _check_hides_none(columns)
    # One type for all shards, even those with no value, or with only whole numbers in a column of floats.
    types = {column: shard_files.column_of(list(values.values())).type for column, values in columns.items()}
    tables = {}
    for shard_id, ids in _ids_of_shards(writer) if columns else ():
        tables[shard_id] = _table(ids.tolist(), columns, types)
    return _tables_change(writer, name, tables)


def update_change(writer: Writer, name: str, columns: Mapping[str, Mapping[int, Any]]) -> Change:
    """Make a change that sets values of some images, by image id, in the columns of the set ``name``.

    Values of other images stay, as do those columns of the set that are not given. Only shards that hold such images
    are written again. Raises as :func:`put_columns`, and CorruptCollectionError where a file to be copied is damaged.
    """
    _check_name(name)
    _check_hides_none(columns)
    image_ids = np.array(sorted(set().union(*columns.values())), np.int64)
    tables = {}
    for shard, (shard_id, ids) in zip(writer.current().shards, _ids_of_shards(writer), strict=True):
        rows = np.isin(ids, image_ids)
        if not rows.any():
            continue
        arrays = {}
        if (path := shard.columns.get(name)) is not None:
            with writer.catalog.transaction() as connection:
                shard_catalog.check_intact(connection, writer, [shard_id], "column")
            table = shard_files.load_table(writer.root, path, rows=shard.rows)
            arrays = {column: table.column(column).combine_chunks() for column in table.column_names}
        for column, values in columns.items():
            new = shard_files.column_of([values.get(i) for i in ids[rows].tolist()])
            old = arrays.get(column, pa.nulls(len(ids)))
            kind = shard_files.common_type((old.type, new.type))
            arrays[column] = pc.replace_with_mask(old.cast(kind), pa.array(rows), new.cast(kind))
        tables[shard_id] = pa.table({**arrays, "image_id": pa.array(ids, pa.int64())})
    return _tables_change(writer, name, tables, only=list(tables))


def measures_change(writer: Writer, ids: Ids, measures: Mapping[str, Floats]) -> Change:
    """Make a change that stores measures of images indexed without them.

    ``measures`` has, by column of ``MEASURES``, a value (n,) for each of ``ids`` (n,), ascending; NaN means none. They
    form a column set of their own, replaced as a whole.
    """
    tables = {}
    for shard_id, rows in _ids_of_shards(writer):
        positions = np.minimum(np.searchsorted(ids, rows), max(0, len(ids) - 1))
        is_measured = ids[positions] == rows if len(ids) else np.zeros(len(rows), np.bool_)
        columns = {}
        for name, values in measures.items():
            column = np.where(is_measured, values[positions], np.nan) if len(ids) else np.full(len(rows), np.nan)
            columns[name] = pa.array(column, pa.float64(), mask=np.isnan(column))
        tables[shard_id] = pa.table({"image_id": pa.array(rows, pa.int64()), **columns})
    return _tables_change(writer, layout.MEASURED, tables)


def _ids_of_shards(writer: Writer) -> Iterator[tuple[int, Ids]]:
    for shard in writer.current().shards:
        with translate_os_errors(writer.root):
            ids = load_array(writer.root, layout.ids(shard.shard_id), mapped=False)
        yield shard.shard_id, ids


def _check_name(name: str) -> None:
    if not layout.COLUMN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a column set")
    if name in _RESERVED:
        raise ValueError(f"{name!r} is the column set of {_RESERVED[name]}")


def _check_hides_none(columns: Mapping[str, Mapping[int, Any]]) -> None:
    if hidden := sorted(set(columns) & set(shard_files.INTRINSIC_SCHEMA.names)):
        raise ValueError(f"{hidden[0]!r} is an intrinsic column")


def _tables_change(
    writer: Writer, name: str, tables: Mapping[int, pa.Table], only: Sequence[int] | None = None
) -> Change:
    """Make a change that replaces the column set, or that of ``only`` these shards."""

    def change(connection: Connection, generation: int) -> None:
        condition = "kind = 'column' AND name = ?"
        if only is None:
            shard_catalog.retire_files(connection, generation, condition, (name,))
        for shard_id in only or ():
            shard_catalog.retire_files(connection, generation, f"{condition} AND shard_id = ?", (name, shard_id))
        for shard_id, table in tables.items():
            path = layout.column(name, shard_id, generation)
            file = shard_catalog.stage(writer, path, "column", table, name=name)
            shard_catalog.publish(writer, connection, generation, shard_id, [file])

    return change


def read_columns(reader: Reader, name: str) -> dict[str, dict[int, Any]]:
    """Read the column set ``name`` in the form :func:`put_columns` takes, without nulls. Raises as ``Reader.load``."""
    columns: dict[str, dict[int, Any]] = {}
    for shard in reader.current.shards:
        if (path := shard.columns.get(name)) is None:
            continue
        table = reader.load(path, shard_files.read_table)
        ids = table.column("image_id")
        for column in table.column_names:
            if column != "image_id":
                values = table.column(column)
                is_valid = values.is_valid()
                pairs = zip(ids.filter(is_valid).to_pylist(), values.filter(is_valid).to_pylist(), strict=True)
                columns.setdefault(column, {}).update(pairs)
    return {column: values for column, values in columns.items() if values}


def _table(ids: Sequence[int], columns: Mapping[str, Mapping[int, Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    arrays = {
        column: shard_files.column_of([values.get(i) for i in ids], types[column]) for column, values in columns.items()
    }
    return pa.table({"image_id": pa.array(ids, pa.int64()), **arrays})
