"""Convert blocks of a selection to Arrow tables, for formats written by Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from imseek.analysis.snapshot_session import filter_ids
from imseek.data.reader import Reader
from imseek.errors import UsageError, did_you_mean
from imseek.exports.selection import Block, Selection
from imseek.types.pictures import place_columns

#: Name of the vector column.
VECTOR: Final = "vector"
#: Images whose metadata are read together.
_BLOCK: Final = 16_384


def schema_of(selection: Selection, *, path: str = "path", vectors: bool = False) -> pa.Schema:
    """Return the columns of every block: id, place (under the name ``path``), stored columns and optionally vectors."""
    fields = [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field(path, pa.string()),
        pa.field("path_b64", pa.string()),
        pa.field("uri", pa.string()),
    ]
    if selection.scores is not None:
        fields.append(pa.field("score", pa.float32()))
    fields.append(pa.field("tags", pa.list_(pa.string())))
    for field in selection.schema:
        fields.append(field.with_type(pa.string()) if pa.types.is_fixed_size_binary(field.type) else field)
    if vectors:
        fields.append(pa.field(VECTOR, pa.list_(pa.float16(), selection.space.dim), nullable=False))
    return pa.schema(fields)


def table_of(selection: Selection, block: Block, schema: pa.Schema, *, path: str = "path") -> pa.Table:
    """Convert a block to a table with the columns of :func:`schema_of`. Hashes are hexadecimal, unknown values null."""
    places: list[Mapping[str, str]] = [{} if place is None else place_columns(place) for place in block.places]
    columns: dict[str, Any] = {
        "image_id": pa.array(block.ids),
        path: pa.array([place.get("path") for place in places], pa.string()),
        "path_b64": pa.array([place.get("path_b64") for place in places], pa.string()),
        "uri": pa.array([place.get("uri") for place in places], pa.string()),
        "tags": pa.array([list(tags) for tags in block.tags], pa.list_(pa.string())),
    }
    if block.scores is not None:
        columns["score"] = pa.array(block.scores)
    arrays = []
    for field in schema:
        if field.name == VECTOR:
            flat = np.ascontiguousarray(selection.rows_of(block)).reshape(-1)
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), selection.space.dim))
        elif field.type == pa.null():
            arrays.append(pa.nulls(len(block)))
        elif field.name in columns:
            arrays.append(columns[field.name])
        elif pa.types.is_fixed_size_binary((column := block.table.column(field.name)).type):
            hexadecimal = [None if value is None else value.hex() for value in column.to_pylist()]
            arrays.append(pa.array(hexadecimal, pa.string()))
        else:
            arrays.append(column)
    return pa.table(arrays, schema=schema)


def metadata_table(reader: Reader, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
    """Return places, tags and stored columns of all images, or of those that meet ``where``, in the order of their ids.

    ``columns`` selects some and sets their order, after ``image_id``; only these are read. Raises QueryError for a
    wrong filter, UsageError for an unknown column.
    """
    if isinstance(columns, str):
        raise UsageError(f"columns is a list, not {columns!r}")
    matches = filter_ids(reader, where)
    selection = Selection(reader, reader.current.space, None if matches is None else matches.ids, columns=columns)
    schema = schema_of(selection)
    if columns is not None:
        fields = {field.name: field for field in schema}
        fields |= {name: pa.field(name, pa.null()) for name in selection.empty_columns}
        for name in columns:
            if name not in fields:
                names = [*schema_of(Selection(reader, selection.space, selection.ids)).names]
                raise UsageError(f"no column {name!r}", hint=did_you_mean(name, names))
        schema = pa.schema([fields[name] for name in dict.fromkeys(("image_id", *columns))])
    tables = [table_of(selection, block, schema) for block in selection.blocks(_BLOCK)]
    return pa.concat_tables([schema.empty_table(), *tables])
