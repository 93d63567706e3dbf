"""Bring the spaces of an older catalog in line with ``current.json``, after a later switch to another space.

Otherwise the catalog would return to a space that may have been dropped, and the vectors of the one in use would be
unknown files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from imseek.data import layout
from imseek.data.catalog import schema as t
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog import live
from imseek.data.catalog.shard_catalog import Folders
from imseek.data.collection_records import Current
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
    s = t.spaces.c
    known = {row.space_id: row for row in connection.execute(select(t.spaces).where(live(t.spaces)))}
    in_use = [space.space_id for space in current.spaces]
    for position, space in enumerate(current.spaces):
        if space.space_id not in known:
            record_space(connection, space, position)
            continue
        connection.execute(update(t.spaces).where(s.space_id == space.space_id).values(is_current=1, position=position))
    listed = {space_id for shard in current.shards for space_id in shard.spaces}
    for space_id in known.keys() - set(in_use):
        connection.execute(update(t.spaces).where(s.space_id == space_id).values(is_current=0))
        if known[space_id].is_current and current.shards and space_id not in listed:
            shard_catalog.retire_files(connection, generation, t.files.c.space_id == space_id)
            connection.execute(update(t.spaces).where(s.space_id == space_id).values(died=generation))
    parts = connection.execute(select(t.files.c.path).where(live(t.files), t.files.c.kind == "part")).scalars()
    shard_catalog.forget_files(connection, [path for path in parts if not is_file(folders.root, path)])
    shards = connection.execute(select(t.shards).where(live(t.shards))).all()
    for shard in shards:
        _adopt_vectors(connection, folders, generation, shard.shard_id, shard.row_count, current.spaces)


def _adopt_vectors(
    connection: Connection,
    folders: Folders,
    generation: int,
    shard_id: int,
    rows: int,
    spaces: Sequence[SpaceInfo],
) -> None:
    """Adopt the vector files of a known shard that the catalog lacks; images without a row in one are encoded again."""
    paths = set(connection.execute(select(t.files.c.path).where(t.files.c.shard_id == shard_id)).scalars())
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
    for chunk in shard_catalog.chunks([int(ids[row]) for row in sorted(empty) if row < len(ids)]):
        mine = t.images.c.image_id.in_(chunk) & (t.images.c.shard_id == shard_id)
        connection.execute(update(t.images).where(mine).values(shard_id=None))
    shard_catalog.write_dead_rows(folders, connection, generation, shard_id)
