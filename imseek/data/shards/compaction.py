"""Size-tiered compaction: merge many small shards into few large ones and drop dead rows.

Tiers grow by a factor of eight, as in log-structured merge trees (O'Neil et al. 1996): each row is rewritten once per
tier, so the work is O(n log n) while the number of shards stays O(log n).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import modalities
from imseek.data.catalog.sql import Connection, column, execute_in
from imseek.data.collection_records import FOREVER, Shard
from imseek.data.files.collection_files import load_array
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.shards import shard_files
from imseek.data.writing.writer import Writer

Rows: TypeAlias = npt.NDArray[np.int64]

FACTOR = 8
MAX_ROWS = 1 << 20
_TIER_ROWS = 512


def tier(rows: int) -> int:
    """Tier of a shard: 0 up to 512 rows, 1 up to 4,096, then one more for each factor of eight."""
    level, limit = 0, _TIER_ROWS
    while rows > limit:
        level, limit = level + 1, limit * FACTOR
    return level


def find_due_shards(shards: Sequence[Shard]) -> list[Shard]:
    """Choose the shards to merge now: the eight smallest of the lowest tier that has eight with the same spaces.

    Fewer, smallest first, where eight would exceed ``MAX_ROWS`` together. Empty where nothing is due.
    """
    groups: dict[tuple[int, tuple[int, ...]], list[Shard]] = {}
    for shard in shards:
        groups.setdefault((tier(_count_live_rows(shard)), shard.spaces), []).append(shard)
    for key in sorted(groups):
        if len(groups[key]) < FACTOR:
            continue
        smallest = sorted(groups[key], key=_count_live_rows)[:FACTOR]
        totals = itertools.accumulate(_count_live_rows(shard) for shard in smallest)
        due = [shard for shard, total in zip(smallest, totals, strict=True) if total <= MAX_ROWS]
        if len(due) > 1:
            return due
    return []


def _count_live_rows(shard: Shard) -> int:
    return shard.rows - shard.dead_rows


def merge_due(writer: Writer) -> int:
    """Merge until nothing is due; returns the number of merges."""
    merges = 0
    while shards := find_due_shards(writer.current().shards):
        with translate_os_errors(writer.root):
            merge(writer, shards)
        merges += 1
    return merges


def merge(writer: Writer, shards: Sequence[Shard]) -> int:
    """Replace ``shards`` with one shard of their live rows, sorted by id; returns the generation.

    Raises CorruptCollectionError where one of their files is damaged.
    """
    root = writer.root
    with writer.catalog.transaction() as connection:
        shard_catalog.check_intact(connection, writer, [shard.shard_id for shard in shards])
        modality_of = modalities(connection)
    live = [_rows_to_keep(writer, shard) for shard in shards]
    ids = np.concatenate(
        [load_array(root, layout.ids(s.shard_id), rows=s.rows)[rows] for s, rows in zip(shards, live, strict=True)]
    )
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    shard_id = writer.take_shard()
    staged = [
        shard_catalog.stage(
            writer, layout.metadata(shard_id), "metadata", _gather_metadata(writer, shards, live, order)
        ),
        shard_catalog.stage(writer, layout.ids(shard_id), "ids", ids),
    ]
    for space_id in shards[0].spaces:
        modality = modality_of[space_id]
        parts = [load_array(root, layout.vectors(space_id, s.shard_id, modality), rows=s.rows) for s in shards]
        path = layout.vectors(space_id, shard_id, modality)
        staged.append(
            shard_catalog.stage(writer, path, "vectors", _gather_vectors(parts, live, order), space_id=space_id)
        )

    def change(connection: Connection, generation: int) -> None:
        columns = _stage_columns(writer, shard_id, generation, shards, live, order)
        shard_catalog.add_shard(writer, connection, generation, shard_id, len(ids), [*staged, *columns])
        old_ids = [s.shard_id for s in shards]
        statement = "UPDATE images SET shard_id = ? WHERE shard_id IN (??) AND died = ?"
        execute_in(connection, statement, shard_id, old_ids, FOREVER)
        shard_catalog.retire_shards(connection, generation, old_ids)
        shard_catalog.write_dead_rows(writer, connection, generation, shard_id)

    return writer.apply(change)


def _rows_to_keep(writer: Writer, shard: Shard) -> Rows:
    """Rows of live images, including quarantined ones: a search skips these, a merge keeps them."""
    ids = load_array(writer.root, layout.ids(shard.shard_id), rows=shard.rows)
    query = "SELECT image_id FROM images WHERE shard_id = ? AND died = ?"
    with writer.catalog.transaction() as connection:
        live_ids = np.array(column(connection, query, (shard.shard_id, FOREVER)), np.int64)
    return np.flatnonzero(np.isin(ids, live_ids, assume_unique=True))


def _gather_vectors(
    parts: Sequence[npt.NDArray[Any]], rows_to_keep: Sequence[Rows], order: Rows
) -> shard_files.MatrixBlocks:
    """Gather the vectors of a space block by block: a shard of a million may exceed memory."""
    width = parts[0].shape[1]
    part_of = np.repeat(np.arange(len(parts)), [len(rows) for rows in rows_to_keep])[order]
    row_of = np.concatenate(rows_to_keep)[order]

    def blocks() -> Iterator[npt.NDArray[np.float16]]:
        size = shard_files.block_rows(width)
        for start in range(0, len(order), size):
            block = slice(start, start + size)
            gathered = np.empty((len(row_of[block]), width), np.float16)
            for n, part in enumerate(parts):
                in_part = part_of[block] == n
                gathered[in_part] = part[row_of[block][in_part]]
            yield gathered

    return shard_files.MatrixBlocks(len(order), width, blocks())


def _gather_metadata(writer: Writer, shards: Sequence[Shard], rows_to_keep: Sequence[Rows], order: Rows) -> pa.Table:
    parts = [
        shard_files.load_table(writer.root, layout.metadata(s.shard_id), rows=s.rows).take(pa.array(rows))
        for s, rows in zip(shards, rows_to_keep, strict=True)
    ]
    return shard_files.concat_tables(parts).take(pa.array(order))


def _stage_columns(
    writer: Writer,
    shard_id: int,
    generation: int,
    shards: Sequence[Shard],
    rows_to_keep: Sequence[Rows],
    order: Rows,
) -> list[shard_catalog.StagedFile]:
    """Stage the derived columns of the merged shard: null where a source shard lacks them."""
    staged = []
    for name in sorted({name for shard in shards for name in shard.columns}):
        parts = []
        for shard, rows in zip(shards, rows_to_keep, strict=True):
            if name in shard.columns:
                parts.append(
                    shard_files.load_table(writer.root, shard.columns[name], rows=shard.rows).take(pa.array(rows))
                )
            else:
                ids = load_array(writer.root, layout.ids(shard.shard_id))
                parts.append(pa.table({"image_id": pa.array(ids[rows])}))
        table = shard_files.concat_tables(parts).take(pa.array(order))
        path = layout.column(name, shard_id, generation)
        staged.append(shard_catalog.stage(writer, path, "column", table, name=name))
    return staged
