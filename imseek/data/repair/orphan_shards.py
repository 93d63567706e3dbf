"""Adopt shards that are on disk but not in the catalog, because a newer catalog was lost.

``current.json`` says which shards were live and which of their rows were not. Images come back with their id and
content; their places were in the lost catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import LIVE
from imseek.data.catalog.shard_catalog import Folders, StagedFile
from imseek.data.catalog.sql import Connection, column, execute_in, insert, select_in
from imseek.data.collection_records import FOREVER, Current, Shard
from imseek.data.files.collection_files import digest, find_files, load_array
from imseek.data.shards import shard_files
from imseek.data.vectors.scores import zero_rows


class _Space(NamedTuple):
    space_id: int
    modality: str
    dim: int
    is_current: int


def adopt(connection: Connection, folders: Folders, generation: int, current: Current | None) -> int:
    """Adopt orphaned shards; return how many images were new to the catalog."""
    known_ids = set(column(connection, "SELECT shard_id FROM shards"))
    query = "SELECT space_id, modality, dim, is_current FROM spaces WHERE died = ?"
    space_of = {row[0]: _Space(*row) for row in connection.execute(query, (FOREVER,))}
    listed_shards = {} if current is None else {shard.shard_id: shard for shard in current.shards}
    last = max(listed_shards, default=-1)
    adopted, changed_shards = 0, set()
    for shard_id in sorted(_shards_on_disk(folders.root) - known_ids):
        # If current.json lists younger shards but not this one, it was merged away or never committed.
        if shard_id not in listed_shards and shard_id < last:
            continue
        content = _read(folders.root, shard_id, list(space_of.values()))
        if content is None:
            continue
        hashes, space_ids = content
        pictures = [s for s in space_ids if space_of[s].is_current and space_of[s].modality == "image"]
        empty = set().union(*(find_zero_rows(folders.root, layout.vectors(s, shard_id)) for s in pictures))
        dead = _dead_rows(folders.root, shard_id, current)
        count, shrunk = _adopt_images(connection, generation, shard_id, hashes, dead, empty)
        ids = np.fromiter(hashes, np.int64)
        staged = [stage_in_place(folders, layout.metadata(shard_id), "metadata", len(ids))]
        staged.append(shard_catalog.stage(folders, layout.ids(shard_id), "ids", ids))
        for s in space_ids:
            path = layout.vectors(s, shard_id, space_of[s].modality)
            staged.append(stage_in_place(folders, path, "vectors", len(ids), s))
        if shard_id in listed_shards:
            staged += _stage_columns(folders, listed_shards[shard_id], ids)
        shard_catalog.add_shard(folders, connection, generation, shard_id, len(ids), staged)
        adopted += count
        changed_shards |= {shard_id, *shrunk}
    for shard_id in sorted(changed_shards):
        # An old shard that images have left may be damaged or gone; a later step of the repair handles it.
        with suppress(OSError, ValueError):
            shard_catalog.write_dead_rows(folders, connection, generation, shard_id)
    return adopted


def _shards_on_disk(root: Path) -> set[int]:
    files = map(layout.parse, find_files(root, layout.METADATA).files)
    return {file.shard_id for file in files if file and file.kind == "metadata" and file.shard_id is not None}


def _read(root: Path, shard_id: int, spaces: Sequence[_Space]) -> tuple[dict[int, bytes], list[int]] | None:
    """Return content hashes by id, in row order, and the spaces with vectors; None for a broken shard."""
    try:
        table = shard_files.load_table(root, layout.metadata(shard_id))
        ids = table.column("image_id").to_pylist()
        hashes = dict(zip(ids, table.column("content_hash").to_pylist(), strict=True))
        space_ids = [
            space.space_id
            for space in spaces
            if is_valid_vector_file(
                root, layout.vectors(space.space_id, shard_id, space.modality), (len(ids), space.dim)
            )
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        _reraise_system_error(error)
        return None
    return (hashes, space_ids) if space_ids and _are_valid(ids, hashes) else None


def _are_valid(ids: list[int | None], hashes: Mapping[int, bytes | None]) -> bool:
    """Whether the catalog can take these ids and hashes: no nulls, ids ascending and in their range."""
    if None in ids or None in hashes.values():
        return False
    return ids == sorted(hashes) and all(0 <= i < layout.MAX_ID - 1 for i in hashes)


def _reraise_system_error(error: Exception) -> None:
    """Re-raise errors of the operating system: the file may be sound. Errors of Arrow and NumPy have no errno."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def is_valid_vector_file(root: Path, name: str, shape: tuple[int, int]) -> bool:
    """Whether there is a sound vector file of this shape."""
    try:
        vectors = load_array(root, name)
    except (FileNotFoundError, ValueError):  # Truncated, or no array: the other spaces may be sound.
        return False
    return vectors.shape == shape and vectors.dtype == np.float16 and bool(np.isfinite(vectors).all())


def find_zero_rows(root: Path, name: str) -> set[int]:
    """Return the numbers of rows of zeros: their images had left the shard when the vectors were made."""
    return set(zero_rows(load_array(root, name)).tolist())


def _stage_columns(folders: Folders, shard: Shard, ids: npt.NDArray[np.int64]) -> list[StagedFile]:
    """Return a shard's derived columns that are sound and row-aligned; damaged ones stay orphans."""
    files = []
    for name, path in shard.columns.items():
        try:
            column_ids = shard_files.load_table(folders.root, path).column("image_id").to_numpy()
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError) as error:
            _reraise_system_error(error)
            continue
        if np.array_equal(column_ids, ids):
            files.append(stage_in_place(folders, path, "column", len(ids), name=name))
    return files


def _dead_rows(root: Path, shard_id: int, current: Current | None) -> npt.NDArray[np.integer[Any]]:
    """Return the last known dead rows: those in ``current.json``, else in the shard's newest file of dead rows."""
    shards = [] if current is None else [s for s in current.shards if s.shard_id == shard_id]
    if shards:
        names = [] if shards[0].dead is None else [shards[0].dead]
    else:
        candidates = [name for name in find_files(root, layout.DEAD).files if layout.shard_of(name) == shard_id]
        names = sorted(candidates, key=lambda name: (len(name), name))[-1:]
    try:
        return np.concatenate([np.empty(0, np.uint32), *(load_array(root, name, mapped=False) for name in names)])
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            _reraise_system_error(error)
        return np.empty(0, np.uint32)


def _adopt_images(
    connection: Connection,
    generation: int,
    shard_id: int,
    hashes: dict[int, bytes],
    dead: npt.NDArray[np.integer[Any]],
    empty: set[int],
) -> tuple[int, set[int]]:
    """Record the images of a shard; return how many are new, and the shards that images moved here from.

    A live image that the catalog has with the same content was merged into this younger shard. If it is quarantined,
    that is why its row was dead. Images whose row is ``empty`` have left the shard.
    """
    ids = list(hashes)
    departed = {ids[row] for row in empty}
    buried = departed | {ids[row] for row in dead[dead < len(ids)].tolist()}
    row_of: dict[int, tuple[bytes, int | None, str, int]] = {}
    query = "SELECT image_id, content_hash, shard_id, state, died FROM images WHERE image_id IN (??)"
    row_of.update({image_id: tuple(row) for image_id, *row in select_in(connection, query, ids)})
    moved_ids = [
        i
        for i, (content_hash, _, state, died) in row_of.items()
        if died == FOREVER and content_hash == hashes[i] and i not in departed
        if i not in buried or state != LIVE
    ]
    execute_in(connection, "UPDATE images SET shard_id = ? WHERE image_id IN (??)", shard_id, moved_ids)
    new_rows = [
        {
            "image_id": i,
            "content_hash": hashes[i],
            "shard_id": shard_id,
            "state": LIVE,
            "born": generation,
            "died": FOREVER,
        }
        for i in ids
        if i not in buried and i not in row_of
    ]
    insert(connection, "images", new_rows)
    old_shards = {row_of[i][1] for i in moved_ids}
    return len(new_rows), {shard for shard in old_shards if shard is not None}


def stage_in_place(
    folders: Folders, path: str, kind: str, rows: int, space_id: int | None = None, name: str | None = None
) -> StagedFile:
    """Describe a file that is already at its final path as a file to publish."""
    file_digest = digest(folders.root, path)
    return StagedFile(folders.root / path, path, kind, rows, file_digest, space_id=space_id, name=name)
