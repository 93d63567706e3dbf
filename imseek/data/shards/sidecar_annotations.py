"""The column set of annotations from sidecars, the files beside pictures. They replace those in the pictures.

They have a set of their own, so that an edited or removed sidecar changes them and brings to light what the picture
itself says, while shards stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.shard_catalog import Folders, StagedFile
from imseek.data.catalog.sql import Connection, select_in
from imseek.data.collection_records import FOREVER
from imseek.data.files.collection_files import load_array
from imseek.data.shards import shard_files
from imseek.data.user_files.file_stat import UNKNOWN_SIDECARS
from imseek.errors import CorruptCollectionError

#: Name of the column set.
SIDECARS: Final = layout.SIDECARS
SCHEMA: Final = shard_files.SIDECAR_SCHEMA
#: What users state about pictures: a set of its own, which indexing carries over to changed files.
EDITS: Final = layout.EDITS
_IN_SET: Final = "kind = 'column' AND name = ?"
EDIT_SCHEMA: Final = pa.schema([SCHEMA.field("caption"), SCHEMA.field("rating")])


def stage_sidecars(
    folders: Folders, shard_id: int, generation: int, ids: Sequence[int], values: Sequence[Mapping[str, Any]]
) -> list[StagedFile]:
    """Stage the set of a shard, given its ids and for each the values beside it; no file where there are none."""
    columns = {
        field.name: shard_files.column_of([row.get(field.name) for row in values], field.type) for field in SCHEMA
    }
    return _stage(folders, SIDECARS, shard_id, generation, pa.array(ids, pa.int64()), columns)


def replace_sidecars(
    folders: Folders, connection: Connection, generation: int, values: Mapping[int, Mapping[str, Any]]
) -> dict[int, set[str]]:
    """Replace the sidecar annotations of stored images, by id, as part of a commit; return the changed columns of each.

    Only shards with one of these images are written. Images that are not stored are skipped.
    """
    return _replace(folders, connection, generation, values, SIDECARS, SCHEMA)


def replace_edits(
    folders: Folders, connection: Connection, generation: int, values: Mapping[int, Mapping[str, Any]]
) -> dict[int, set[str]]:
    """Replace what users state about stored images: as :func:`replace_sidecars`."""
    return _replace(folders, connection, generation, values, EDITS, EDIT_SCHEMA)


def stage_edits(
    folders: Folders, shard_id: int, generation: int, ids: Sequence[int], values: Mapping[int, Mapping[str, Any]]
) -> list[StagedFile]:
    """Stage what users state about the images of a new shard, by id: no file where they state nothing."""
    columns = {
        field.name: shard_files.column_of([values.get(i, {}).get(field.name) for i in ids], field.type)
        for field in EDIT_SCHEMA
    }
    return _stage(folders, EDITS, shard_id, generation, pa.array(ids, pa.int64()), columns)


def read_edits(folders: Folders, connection: Connection, image_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return what users state about stored images, by id. A damaged file states nothing."""
    edits_of: dict[int, dict[str, Any]] = {}
    shards = shard_catalog.ids_by_shard(connection, sorted(set(image_ids)))
    for shard_id, path in _paths(connection, EDITS, shards).items():
        ids = shards[shard_id]
        with suppress(CorruptCollectionError):
            table = shard_files.load_table(folders.root, path)
            selection = table.filter(pa.array(np.isin(table.column("image_id").to_numpy(), ids)))
            for row in selection.select(["image_id", *(set(table.column_names) & set(EDIT_SCHEMA.names))]).to_pylist():
                values = {name: value for name, value in row.items() if name != "image_id" and value is not None}
                if values:
                    edits_of[row["image_id"]] = values
    return edits_of


def _replace(
    folders: Folders,
    connection: Connection,
    generation: int,
    values: Mapping[int, Mapping[str, Any]],
    name: str,
    schema: pa.Schema,
) -> dict[int, set[str]]:
    changed: dict[int, set[str]] = {}
    shards = shard_catalog.ids_by_shard(connection, sorted(values))
    paths = _paths(connection, name, shards)
    for shard_id, image_ids in shards.items():
        path = paths.get(shard_id)
        if path is None and not any(values[image_id] for image_id in image_ids):
            continue
        import pyarrow.compute as pc  # here: it takes 25 ms, and most runs replace nothing

        ids = load_array(folders.root, layout.ids(shard_id), mapped=False)
        table = None if path is None else shard_files.load_table(folders.root, path, rows=len(ids))
        rows = np.searchsorted(ids, image_ids)
        columns = {}
        for field in schema:
            old = _column(table, field, len(ids))
            new = shard_files.column_of([values[image_id].get(field.name) for image_id in image_ids], field.type)
            before, after = old.take(pa.array(rows)).to_pylist(), new.to_pylist()
            for image_id, old_value, new_value in zip(image_ids, before, after, strict=True):
                if old_value != new_value:
                    changed.setdefault(image_id, set()).add(field.name)
            mask = np.zeros(len(ids), np.bool_)
            mask[rows] = True
            columns[field.name] = pc.replace_with_mask(old, pa.array(mask), new)
        if not changed.keys().isdisjoint(image_ids):
            shard_catalog.retire_files(connection, generation, f"{_IN_SET} AND shard_id = ?", (name, shard_id))
            if staged := _stage(folders, name, shard_id, generation, pa.array(ids), columns):
                shard_catalog.publish(folders, connection, generation, shard_id, staged)
    return changed


def forget_stats(connection: Connection, shard_id: int) -> None:
    """Have the next run read the files beside all images of a shard again."""
    connection.execute(
        "UPDATE places SET sidecar_stat = ? "
        "WHERE image_id IN (SELECT image_id FROM images WHERE shard_id = ?) AND died = ?",
        (UNKNOWN_SIDECARS, shard_id, FOREVER),
    )


def _paths(connection: Connection, name: str, shard_ids: Iterable[int]) -> dict[int, str]:
    """Find the file of a column set in each shard that has one."""
    query = f"SELECT shard_id, path FROM files WHERE {_IN_SET} AND shard_id IN (??) AND died = ?"  # noqa: S608
    return dict(select_in(connection, query, name, sorted(shard_ids), FOREVER))


def _column(table: pa.Table | None, field: pa.Field, rows: int) -> pa.Array:
    if table is None or field.name not in table.column_names:
        return pa.nulls(rows, field.type)
    return table.column(field.name).combine_chunks()


def _stage(
    folders: Folders, name: str, shard_id: int, generation: int, ids: pa.Array, columns: Mapping[str, pa.Array]
) -> list[StagedFile]:
    filled = {column_name: column for column_name, column in columns.items() if column.null_count < len(column)}
    if not filled:
        return []
    path = layout.column(name, shard_id, generation)
    return [shard_catalog.stage(folders, path, "column", pa.table({"image_id": ids, **filled}), name=name)]
