"""Shards and their files in the catalog: adding, retiring, and the dead rows that current.json names."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection, and_, insert, select, update

from imseek.data import durable, layout, shards
from imseek.data import schema as t
from imseek.data.catalog import live, living_ids
from imseek.data.schema import FOREVER
from imseek.data.writer import Writer

#: Values per statement, below SQLite's limit on variables in every build.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file in staging and what it will be: final path, kind, row count, and space or column set it is of."""

    staged: Path
    path: str
    kind: str
    rows: int
    written: durable.Written
    space_id: int | None = None
    name: str | None = None


def stage(
    writer: Writer,
    path: str,
    kind: str,
    content: npt.NDArray[Any] | pa.Table,
    *,
    space_id: int | None = None,
    name: str | None = None,
) -> StagedFile:
    """Write an array as ``.npy`` or a table as Parquet into staging, to become ``path``."""
    target = writer.staging / path.replace("/", "_")
    write = shards.write_array if isinstance(content, np.ndarray) else shards.write_table
    return StagedFile(target, path, kind, len(content), write(target, content), space_id=space_id, name=name)


def add_shard(
    writer: Writer,
    connection: Connection,
    generation: int,
    shard_id: int,
    rows: int,
    files: Sequence[StagedFile],
) -> None:
    """Publish a shard's files and record them."""
    publish(writer, connection, generation, shard_id, files)
    connection.execute(
        insert(t.shards).values(shard_id=shard_id, row_count=rows, born=generation, died=FOREVER)
    )


def publish(
    writer: Writer, connection: Connection, generation: int, shard_id: int, files: Sequence[StagedFile]
) -> None:
    durable.publish((f.staged, writer.root / f.path) for f in files)
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


def retire(connection: Connection, generation: int, condition: Any) -> None:
    """From this generation on the files that meet ``condition`` are not live; a later writer unlinks them."""
    connection.execute(
        update(t.files).where(live(t.files), condition).values(died=generation, retired_at=time.time())
    )


def retire_shards(connection: Connection, generation: int, shard_ids: Iterable[int]) -> None:
    for shard_id in shard_ids:
        retire(connection, generation, t.files.c.shard_id == shard_id)
        connection.execute(update(t.shards).where(t.shards.c.shard_id == shard_id).values(died=generation))


def bury(writer: Writer, connection: Connection, generation: int, image_ids: Sequence[int]) -> None:
    """Images die with their places and tags, and their rows join the dead of their shards."""
    touched: set[int] = set()
    for chunk in chunks(image_ids):
        ids = t.images.c.image_id.in_(chunk)
        touched.update(
            s for s in connection.execute(select(t.images.c.shard_id).where(ids)).scalars() if s is not None
        )
        connection.execute(update(t.images).where(ids, live(t.images)).values(died=generation))
        for table in (t.places, t.tags):
            connection.execute(
                update(table).where(table.c.image_id.in_(chunk), live(table)).values(died=generation)
            )
    for shard_id in sorted(touched):
        write_dead(writer, connection, generation, shard_id)


def write_dead(writer: Writer, connection: Connection, generation: int, shard_id: int) -> None:
    """Write the dead rows of a shard as the catalog has them; a shard with none alive is retired."""
    shard = connection.execute(
        select(t.shards).where(t.shards.c.shard_id == shard_id, live(t.shards))
    ).first()
    if shard is None:
        return
    ids = np.load(writer.root / layout.ids(shard_id), mmap_mode="r", allow_pickle=False)
    rows = dead_rows(connection, shard_id, ids)
    if len(rows) == len(ids):
        retire_shards(connection, generation, [shard_id])
        return
    is_dead_file = and_(t.files.c.shard_id == shard_id, t.files.c.kind == "dead")
    retire(connection, generation, is_dead_file)
    if not len(rows):
        return
    staged = stage(writer, layout.dead(shard_id, generation), "dead", rows)
    publish(writer, connection, generation, shard_id, [staged])


def dead_rows(connection: Connection, shard_id: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Rows of a shard, whose ids are given in order, that a search passes over."""
    alive = np.isin(ids, living_ids(connection, shard_id), assume_unique=True)
    return np.flatnonzero(~alive).astype(np.uint32)


def chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
