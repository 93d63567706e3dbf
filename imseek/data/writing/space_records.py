"""Bring the spaces of an older catalog in line with ``current.json``, after a later switch to another space.

Otherwise the catalog would return to a space that may have been dropped, and the vectors of the one in use would be
unknown files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.shard_catalog import Folders
from imseek.data.catalog.sql import Connection, column, execute_in
from imseek.data.collection_records import FOREVER, Current
from imseek.data.files.collection_files import is_file, load_array
from imseek.data.repair import orphan_shards
from imseek.data.writing.create import add_space
from imseek.types.collection_info import SpaceInfo


def record_space(connection: Connection, space: SpaceInfo, position: int) -> None:
    """Record a space in use from ``current.json``, which lacks what only the catalog had."""
    facts: dict[str, Any] = {
        "encoder": space.encoder,
        "revision": None,
        "fingerprint": space.fingerprint,
        "dim": space.dim,
        "quality": space.quality,
        "note": space.note,
        "logit_scale": None,
        "preprocessing": {},
        "facts": {},
        "modality": space.modality,
        "position": position,
    }
    add_space(connection, space.space_id, facts)


def reconcile_spaces(connection: Connection, folders: Folders, generation: int, current: Current) -> None:
    """Put the spaces of ``current`` in use, in its order; other spaces of the catalog are kept, or were dropped.

    Vector files on disk that belong to known shards are adopted.
    """
    is_current_of: dict[int, int] = dict(
        connection.execute("SELECT space_id, is_current FROM spaces WHERE died = ?", (FOREVER,)).fetchall()
    )
    in_use = [space.space_id for space in current.spaces]
    for position, space in enumerate(current.spaces):
        if space.space_id not in is_current_of:
            record_space(connection, space, position)
            continue
        connection.execute(
            "UPDATE spaces SET is_current = 1, position = ? WHERE space_id = ?", (position, space.space_id)
        )
    shard_spaces = {space_id for shard in current.shards for space_id in shard.spaces}
    for space_id in is_current_of.keys() - set(in_use):
        connection.execute("UPDATE spaces SET is_current = 0 WHERE space_id = ?", (space_id,))
        if is_current_of[space_id] and current.shards and space_id not in shard_spaces:
            shard_catalog.retire_files(connection, generation, "space_id = ?", (space_id,))
            connection.execute("UPDATE spaces SET died = ? WHERE space_id = ?", (generation, space_id))
    parts = column(connection, "SELECT path FROM files WHERE died = ? AND kind = 'part'", (FOREVER,))
    shard_catalog.forget_files(connection, [path for path in parts if not is_file(folders.root, path)])
    shards = connection.execute("SELECT shard_id, row_count FROM shards WHERE died = ?", (FOREVER,)).fetchall()
    for shard_id, row_count in shards:
        _adopt_vectors(connection, folders, generation, shard_id, row_count, current.spaces)


def _adopt_vectors(
    connection: Connection,
    folders: Folders,
    generation: int,
    shard_id: int,
    rows: int,
    spaces: Sequence[SpaceInfo],
) -> None:
    """Adopt the vector files of a known shard that the catalog lacks; images without a row in one are encoded again."""
    paths = set(column(connection, "SELECT path FROM files WHERE shard_id = ?", (shard_id,)))
    empty: set[int] = set()
    for space in spaces:
        path = layout.vectors(space.space_id, shard_id, space.modality)
        if path in paths or not orphan_shards.is_valid_vector_file(folders.root, path, (rows, space.dim)):
            continue
        file = orphan_shards.stage_in_place(folders, path, "vectors", rows, space.space_id)
        shard_catalog.publish(folders, connection, generation, shard_id, [file])
        if space.modality == "image":
            empty |= orphan_shards.find_zero_rows(folders.root, path)
    if not empty:
        return
    try:
        ids = load_array(folders.root, layout.ids(shard_id), mapped=False)
    except (OSError, ValueError):
        return  # The shard is lost as a whole; a later step of the repair handles it.
    lost_ids = [int(ids[row]) for row in sorted(empty) if row < len(ids)]
    statement = "UPDATE images SET shard_id = NULL WHERE image_id IN (??) AND shard_id = ?"
    execute_in(connection, statement, lost_ids, shard_id)
    shard_catalog.write_dead_rows(folders, connection, generation, shard_id)
