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
    known = set(column(connection, "SELECT shard_id FROM shards"))
    query = "SELECT space_id, modality, dim, is_current FROM spaces WHERE died = ?"
    of = {row[0]: _Space(*row) for row in connection.execute(query, (FOREVER,))}
    listed = {} if current is None else {shard.shard_id: shard for shard in current.shards}
    last = max(listed, default=-1)
    adopted, touched = 0, set()
    for shard_id in sorted(_shards_on_disk(folders.root) - known):
        # If current.json lists younger shards but not this one, it was merged away or never committed.
        if shard_id not in listed and shard_id < last:
            continue
        content = _read(folders.root, shard_id, list(of.values()))
        if content is None:
            continue
        hashes, present = content
        pictures = [s for s in present if of[s].is_current and of[s].modality == "image"]
        empty = set().union(*(find_zero_rows(folders.root, layout.vectors(s, shard_id)) for s in pictures))
        dead = _dead_rows(folders.root, shard_id, current)
        new, shrunk = _adopt_images(connection, generation, shard_id, hashes, dead, empty)
        ids = np.fromiter(hashes, np.int64)
        staged = [stage_in_place(folders, layout.metadata(shard_id), "metadata", len(ids))]
        staged.append(shard_catalog.stage(folders, layout.ids(shard_id), "ids", ids))
        for s in present:
            path = layout.vectors(s, shard_id, of[s].modality)
            staged.append(stage_in_place(folders, path, "vectors", len(ids), s))
        if shard_id in listed:
            staged += _stage_columns(folders, listed[shard_id], ids)
        shard_catalog.add_shard(folders, connection, generation, shard_id, len(ids), staged)
        adopted += new
        touched |= {shard_id, *shrunk}
    for shard_id in sorted(touched):
        # An old shard that images have left may be damaged or gone; a later step of the repair handles it.
        with suppress(OSError, ValueError):
            shard_catalog.write_dead_rows(folders, connection, generation, shard_id)
    return adopted


def _shards_on_disk(root: Path) -> set[int]:
    found = map(layout.parse, find_files(root, layout.METADATA).files)
    return {one.shard_id for one in found if one and one.kind == "metadata" and one.shard_id is not None}


def _read(root: Path, shard_id: int, spaces: Sequence[_Space]) -> tuple[dict[int, bytes], list[int]] | None:
    """Return content hashes by id, in row order, and the spaces with vectors; None for a broken shard."""
    try:
        table = shard_files.load_table(root, layout.metadata(shard_id))
        ids = table.column("image_id").to_pylist()
        hashes = dict(zip(ids, table.column("content_hash").to_pylist(), strict=True))
        present = [
            space.space_id
            for space in spaces
            if is_valid_vector_file(
                root, layout.vectors(space.space_id, shard_id, space.modality), (len(ids), space.dim)
            )
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        _reraise_system_error(error)
        return None
    return (hashes, present) if present and _are_valid(ids, hashes) else None


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
    sound = []
    for name, path in shard.columns.items():
        try:
            stored = shard_files.load_table(folders.root, path).column("image_id").to_numpy()
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError) as error:
            _reraise_system_error(error)
            continue
        if np.array_equal(stored, ids):
            sound.append(stage_in_place(folders, path, "column", len(ids), name=name))
    return sound


def _dead_rows(root: Path, shard_id: int, current: Current | None) -> npt.NDArray[np.integer[Any]]:
    """Return the last known dead rows: those in ``current.json``, else in the shard's newest file of dead rows."""
    listed = [] if current is None else [s for s in current.shards if s.shard_id == shard_id]
    if listed:
        names = [] if listed[0].dead is None else [listed[0].dead]
    else:
        found = [name for name in find_files(root, layout.DEAD).files if layout.shard_of(name) == shard_id]
        names = sorted(found, key=lambda name: (len(name), name))[-1:]
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
    left = {ids[row] for row in empty}
    buried = left | {ids[row] for row in dead[dead < len(ids)].tolist()}
    known: dict[int, tuple[bytes, int | None, str, int]] = {}
    query = "SELECT image_id, content_hash, shard_id, state, died FROM images WHERE image_id IN (??)"
    known.update({image_id: tuple(row) for image_id, *row in select_in(connection, query, ids)})
    mine = [
        i
        for i, (content_hash, _, state, died) in known.items()
        if died == FOREVER and content_hash == hashes[i] and i not in left
        if i not in buried or state != LIVE
    ]
    execute_in(connection, "UPDATE images SET shard_id = ? WHERE image_id IN (??)", shard_id, mine)
    new = [
        {
            "image_id": i,
            "content_hash": hashes[i],
            "shard_id": shard_id,
            "state": LIVE,
            "born": generation,
            "died": FOREVER,
        }
        for i in ids
        if i not in buried and i not in known
    ]
    insert(connection, "images", new)
    before = {known[i][1] for i in mine}
    return len(new), {one for one in before if one is not None}


def stage_in_place(
    folders: Folders, path: str, kind: str, rows: int, space_id: int | None = None, name: str | None = None
) -> StagedFile:
    """Describe a file that is already at its final path as a file to publish."""
    written = digest(folders.root, path)
    return StagedFile(folders.root / path, path, kind, rows, written, space_id=space_id, name=name)
