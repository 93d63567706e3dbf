"""Add and retire shards and their files in the catalog, and write the dead rows that current.json names."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog.catalog_writer import searchable_ids
from imseek.data.catalog.sql import Connection, execute_in, insert, scalar, select_in
from imseek.data.collection_records import FOREVER
from imseek.data.files import collection_files, durable_files
from imseek.data.files.collection_files import load_array
from imseek.data.shards import shard_files
from imseek.errors import CorruptCollectionError, repair_command


class Folders(Protocol):
    """A collection's root and staging folders; a :class:`~imseek.data.writing.writer.Writer` has them."""

    @property
    def root(self) -> Path: ...

    @property
    def staging(self) -> Path: ...

    @property
    def unsynced(self) -> set[str]:
        """Folders below the root with new names in them, to be fsynced before the catalog records these."""
        ...


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file in staging: its final path, kind, row count, and the space or column set that it belongs to."""

    staged: Path
    path: str
    kind: str
    rows: int
    digest: durable_files.FileDigest
    space_id: int | None = None
    name: str | None = None


def stage(
    folders: Folders,
    path: str,
    kind: str,
    content: npt.NDArray[Any] | pa.Table | shard_files.MatrixBlocks,
    *,
    space_id: int | None = None,
    name: str | None = None,
) -> StagedFile:
    """Write an array as ``.npy`` or a table as Parquet into staging, to become ``path``."""
    target = folders.staging / path.replace("/", "_")
    write = shard_files.write_table if isinstance(content, pa.Table) else shard_files.write_array
    return StagedFile(target, path, kind, len(content), write(target, content), space_id=space_id, name=name)


def add_shard(
    folders: Folders,
    connection: Connection,
    generation: int,
    shard_id: int,
    rows: int,
    files: Sequence[StagedFile],
) -> None:
    """Publish a shard's files and record the shard."""
    publish(folders, connection, generation, shard_id, files)
    insert(connection, "shards", [{"shard_id": shard_id, "row_count": rows, "born": generation, "died": FOREVER}])


def publish(
    folders: Folders,
    connection: Connection,
    generation: int,
    shard_id: int | None,
    files: Sequence[StagedFile],
) -> None:
    """Move staged files to their final paths and record them, for a shard or none; see :attr:`Folders.unsynced`."""
    folders.unsynced.update(collection_files.publish(folders.root, ((f.staged, f.path) for f in files)))
    insert(
        connection,
        "files",
        [
            {
                "path": f.path,
                "kind": f.kind,
                "shard_id": shard_id,
                "space_id": f.space_id,
                "name": f.name,
                "row_count": f.rows,
                "size": f.digest.size,
                "sha256": f.digest.sha256,
                "born": generation,
                "died": FOREVER,
                "retired_at": None,
            }
            for f in files
        ],
    )


def retire_files(connection: Connection, generation: int, condition: str, values: Sequence[Any]) -> None:
    """Mark the files that meet an SQL condition as dead from this generation on; a later writer unlinks them."""
    connection.execute(
        f"UPDATE files SET died = ?, retired_at = ? WHERE died = ? AND {condition}",  # noqa: S608
        (generation, time.time(), FOREVER, *values),
    )


def forget_files(connection: Connection, paths: Sequence[str]) -> None:
    """Delete the records of files that no reader has ever used.

    Unlink the files after the commit; after a crash, a writer sweeps them.
    """
    execute_in(connection, "DELETE FROM files WHERE path IN (??)", list(paths))


def retire_shards(connection: Connection, generation: int, shard_ids: Iterable[int]) -> None:
    for shard_id in shard_ids:
        retire_files(connection, generation, "shard_id = ?", (shard_id,))
        connection.execute("UPDATE shards SET died = ? WHERE shard_id = ?", (generation, shard_id))


def mark_dead(connection: Connection, generation: int, image_ids: Sequence[int]) -> set[int]:
    """Mark images, their places, tags and documents as dead. Return the shards whose dead rows must be written."""
    ids = list(image_ids)
    query = "SELECT shard_id FROM images WHERE image_id IN (??)"
    shard_ids = {shard_id for (shard_id,) in select_in(connection, query, ids)}
    for table in ("images", "places", "tags", "documents"):
        statement = f"UPDATE {table} SET died = ? WHERE image_id IN (??) AND died = ?"  # noqa: S608
        execute_in(connection, statement, generation, ids, FOREVER)
    return shard_ids - {None}


def change_state(connection: Connection, image_ids: Sequence[int], before: str, after: str) -> set[int]:
    """Change the state of live images that are in state ``before``. Return the shards whose dead rows must be
    written."""
    condition, values = "WHERE image_id IN (??) AND state = ? AND died = ?", (list(image_ids), before, FOREVER)
    shard_ids = {row[0] for row in select_in(connection, f"SELECT shard_id FROM images {condition}", *values)}  # noqa: S608
    execute_in(connection, f"UPDATE images SET state = ? {condition}", after, *values)  # noqa: S608
    return shard_ids - {None}


def write_dead_rows(folders: Folders, connection: Connection, generation: int, shard_id: int) -> None:
    """Write the dead rows of a shard according to the catalog, or retire the shard if all its images have died.

    A quarantined image is not dead: searches skip its row, but the row is kept.
    """
    if scalar(connection, "SELECT 1 FROM shards WHERE shard_id = ? AND died = ?", (shard_id, FOREVER)) is None:
        return
    if scalar(connection, "SELECT 1 FROM images WHERE shard_id = ? AND died = ? LIMIT 1", (shard_id, FOREVER)) is None:
        retire_shards(connection, generation, [shard_id])
        return
    ids = load_array(folders.root, layout.ids(shard_id))
    rows = dead_rows(connection, shard_id, ids)
    retire_files(connection, generation, "shard_id = ? AND kind = 'dead'", (shard_id,))
    if not len(rows):
        return
    staged = stage(folders, layout.dead(shard_id, generation), "dead", rows)
    publish(folders, connection, generation, shard_id, [staged])


def dead_rows(connection: Connection, shard_id: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Return the rows of a shard that a search skips, given the shard's ids in order."""
    alive = np.isin(ids, searchable_ids(connection, shard_id), assume_unique=True)
    return np.flatnonzero(~alive).astype(np.uint32)


def check_intact(connection: Connection, folders: Folders, shard_ids: Sequence[int], kind: str | None = None) -> None:
    """Raise CorruptCollectionError where a file (of one ``kind``, if given) of these shards differs from its checksum.

    For files about to be copied into new ones, whose checksums would otherwise vouch for the damage.
    """
    query = "SELECT path, size, sha256, kind FROM files WHERE shard_id IN (??) AND died = ?"
    for path, size, sha256, file_kind in select_in(connection, query, list(shard_ids), FOREVER):
        if kind not in (None, file_kind):
            continue
        try:
            is_intact = collection_files.digest(folders.root, path, size).sha256 == sha256
        except FileNotFoundError:
            is_intact = False
        if not is_intact:
            raise CorruptCollectionError(
                f"{folders.root / path} is damaged or missing",
                hint=repair_command(folders.root),
            )


def ids_by_shard(connection: Connection, image_ids: Sequence[int]) -> Mapping[int, list[int]]:
    """Group those of these images that are live and stored by their shards, ascending where ``image_ids`` are."""
    groups: dict[int, list[int]] = defaultdict(list)
    query = (
        "SELECT image_id, shard_id FROM images "
        "WHERE image_id IN (??) AND died = ? AND shard_id IS NOT NULL ORDER BY image_id"
    )
    for image_id, shard_id in select_in(connection, query, list(image_ids), FOREVER):
        groups[shard_id].append(image_id)
    return groups
