"""Add and retire shards and their files in the catalog, and write the dead rows that current.json names."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection, and_, delete, insert, select, update

from imseek.data import layout
from imseek.data.catalog import schema as t
from imseek.data.catalog.catalog import live, searchable_ids
from imseek.data.catalog.schema import FOREVER
from imseek.data.files import collection_files, durable_files
from imseek.data.files.collection_files import load_array
from imseek.data.shards import shard_files
from imseek.errors import CorruptCollectionError, repair_command

T = TypeVar("T")

#: Values per statement, below SQLite's limit on variables in every build.
_CHUNK = 500


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
    written: durable_files.FileDigest
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
    connection.execute(insert(t.shards).values(shard_id=shard_id, row_count=rows, born=generation, died=FOREVER))


def publish(
    folders: Folders,
    connection: Connection,
    generation: int,
    shard_id: int | None,
    files: Sequence[StagedFile],
) -> None:
    """Move staged files to their final paths and record them, for a shard or none; see :attr:`Folders.unsynced`."""
    folders.unsynced.update(collection_files.publish(folders.root, ((f.staged, f.path) for f in files)))
    connection.execute(
        insert(t.files),
        [
            {
                "path": f.path,
                "kind": f.kind,
                "shard_id": shard_id,
                "space_id": f.space_id,
                "name": f.name,
                "row_count": f.rows,
                "size": f.written.size,
                "sha256": f.written.sha256,
                "born": generation,
                "died": FOREVER,
                "retired_at": None,
            }
            for f in files
        ],
    )


def retire_files(connection: Connection, generation: int, condition: Any) -> None:
    """Mark the files that meet ``condition`` as dead from this generation on; a later writer unlinks them."""
    connection.execute(update(t.files).where(live(t.files), condition).values(died=generation, retired_at=time.time()))


def forget_files(connection: Connection, paths: Sequence[str]) -> None:
    """Delete the records of files that no reader has ever used.

    Unlink the files after the commit; after a crash, a writer sweeps them.
    """
    for chunk in chunks(paths):
        connection.execute(delete(t.files).where(t.files.c.path.in_(chunk)))


def retire_shards(connection: Connection, generation: int, shard_ids: Iterable[int]) -> None:
    for shard_id in shard_ids:
        retire_files(connection, generation, t.files.c.shard_id == shard_id)
        connection.execute(update(t.shards).where(t.shards.c.shard_id == shard_id).values(died=generation))


def mark_dead(connection: Connection, generation: int, image_ids: Sequence[int]) -> set[int]:
    """Mark images, their places, tags and documents as dead. Return the shards whose dead rows must be written."""
    touched: set[int] = set()
    for chunk in chunks(image_ids):
        ids = t.images.c.image_id.in_(chunk)
        touched.update(s for s in connection.execute(select(t.images.c.shard_id).where(ids)).scalars() if s is not None)
        connection.execute(update(t.images).where(ids, live(t.images)).values(died=generation))
        for table in (t.places, t.tags, t.documents):
            connection.execute(update(table).where(table.c.image_id.in_(chunk), live(table)).values(died=generation))
    return touched


def change_state(connection: Connection, image_ids: Sequence[int], before: str, after: str) -> set[int]:
    """Change the state of live images that are in state ``before``. Return the shards whose dead rows must be
    written."""
    touched: set[int] = set()
    for chunk in chunks(image_ids):
        condition = and_(t.images.c.image_id.in_(chunk), t.images.c.state == before, live(t.images))
        found = connection.execute(select(t.images.c.shard_id).where(condition)).scalars()
        touched.update(shard_id for shard_id in found if shard_id is not None)
        connection.execute(update(t.images).where(condition).values(state=after))
    return touched


def write_dead_rows(folders: Folders, connection: Connection, generation: int, shard_id: int) -> None:
    """Write the dead rows of a shard according to the catalog, or retire the shard if all its images have died.

    A quarantined image is not dead: searches skip its row, but the row is kept.
    """
    shard = connection.execute(select(t.shards).where(t.shards.c.shard_id == shard_id, live(t.shards))).first()
    if shard is None:
        return
    living = select(t.images.c.image_id).where(t.images.c.shard_id == shard_id, live(t.images)).limit(1)
    if connection.execute(living).first() is None:
        retire_shards(connection, generation, [shard_id])
        return
    ids = load_array(folders.root, layout.ids(shard_id))
    rows = dead_rows(connection, shard_id, ids)
    is_dead_file = and_(t.files.c.shard_id == shard_id, t.files.c.kind == "dead")
    retire_files(connection, generation, is_dead_file)
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
    condition = and_(t.files.c.shard_id.in_(shard_ids), live(t.files))
    if kind is not None:
        condition &= t.files.c.kind == kind
    for file in connection.execute(select(t.files.c.path, t.files.c.size, t.files.c.sha256).where(condition)):
        try:
            intact = collection_files.digest(folders.root, file.path, file.size).sha256 == file.sha256
        except FileNotFoundError:
            intact = False
        if not intact:
            raise CorruptCollectionError(
                f"{folders.root / file.path} is damaged or missing",
                hint=repair_command(folders.root),
            )


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
