"""Store finished rows of a space being built, by image id, until the vector files of their shards can be written.

A shard's vector file is written once, when all its rows are there. A shard may have a million rows, and some pictures
may not be readable today. Until then, rows lie in parts: ``spaces/<n>/parts/<number>.npy``, arrays of (image id,
vector). Parts are keyed by image id, not by shard, so merging and repairing shards does not affect them. Readers never
open them: they are unlinked as soon as they are not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.shard_catalog import StagedFile
from imseek.data.catalog.sql import Connection, column
from imseek.data.collection_records import FOREVER
from imseek.data.files.collection_files import digest, load_array, remove_files
from imseek.data.files.durable_files import FileDigest
from imseek.data.shards.shard_files import block_rows
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError

#: Kind of parts in the catalog.
PART = "part"
#: A part with fewer rows is merged into the next one; of long rows, fewer do.
PART_ROWS = 4096

Ids: TypeAlias = npt.NDArray[np.int64]
Row: TypeAlias = npt.NDArray[np.float16]
Rows: TypeAlias = npt.NDArray[np.float16]


def part_dtype(dim: int) -> np.dtype[Any]:
    """Return the dtype of a part's rows."""
    return np.dtype([("image_id", "<i8"), ("vector", "<f2", (dim,))])


class PartialRows:
    """The parts of one space. A damaged part is skipped and removed by the next change: its rows are made again."""

    def __init__(self, writer: Writer, space_id: int, dim: int) -> None:
        self._writer = writer
        self._space_id = space_id
        self._dim = dim
        self._ids: dict[str, Ids] = {}
        self._damaged: list[str] = []
        query = "SELECT path, size, sha256 FROM files WHERE died = ? AND kind = ? AND space_id = ? ORDER BY path"
        with writer.catalog.transaction() as connection:
            files = connection.execute(query, (FOREVER, PART, space_id)).fetchall()
        for path, size, sha256 in files:
            part = _read(writer, path, FileDigest(size, sha256), dim)
            if part is None:
                self._damaged.append(path)
            else:
                self._ids[path] = np.array(part["image_id"])
        self._index()

    def __len__(self) -> int:
        return len(self._sorted_ids)

    def contain(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which of these ids have a row here."""
        return np.isin(ids, self._sorted_ids)

    def fill(self, ids: Ids, rows: Rows) -> None:
        """Copy the stored rows of ``ids`` (n,) into ``rows`` (n, dim); other rows stay as they are."""
        if not len(self._sorted_ids):
            return
        positions = np.searchsorted(self._sorted_ids, ids)
        positions[positions == len(self._sorted_ids)] = 0
        targets = np.flatnonzero(self._sorted_ids[positions] == ids)
        positions = positions[targets]
        paths = list(self._ids)
        for n in np.unique(self._part_of[positions]).tolist():
            in_part = self._part_of[positions] == n
            part = load_array(self._writer.root, paths[n])
            rows[targets[in_part]] = part["vector"][self._row_of[positions[in_part]]]

    def plan(self, new_rows: Mapping[int, Row], finished: Ids) -> PartsChange:
        """Stage a part with ``new_rows``; rows of ``finished`` ids are not needed any more.

        While the last part is small, it is merged with the new rows, so that a slow encoder, which commits few rows at
        a time, does not leave thousands of files.
        """
        obsolete = [*self._damaged, *(path for path, ids in self._ids.items() if np.isin(ids, finished).all())]
        if not new_rows:
            return PartsChange((), tuple(obsolete), None)
        last_rows = np.empty(0, part_dtype(self._dim))
        last = next(reversed(self._ids), None)
        if last is not None and last not in obsolete and len(self._ids[last]) < min(PART_ROWS, block_rows(self._dim)):
            last_rows = load_array(self._writer.root, last, mapped=False)
            last_rows = last_rows[~np.isin(last_rows["image_id"], [*finished, *new_rows])]
            obsolete.append(last)
        merged = np.empty(len(last_rows) + len(new_rows), part_dtype(self._dim))
        merged[: len(last_rows)] = last_rows
        merged["image_id"][len(last_rows) :] = np.fromiter(new_rows, np.int64)
        merged["vector"][len(last_rows) :] = np.stack(list(new_rows.values()))
        merged = merged[np.argsort(merged["image_id"])]
        path = layout.part(self._space_id, self._writer.take_shard())
        staged = shard_catalog.stage(self._writer, path, PART, merged, space_id=self._space_id)
        return PartsChange((staged,), tuple(obsolete), merged["image_id"].astype(np.int64))

    def plan_removal(self) -> PartsChange:
        """Return a change that removes all parts."""
        return PartsChange((), (*self._damaged, *self._ids), None)

    def confirm(self, change: PartsChange) -> None:
        """Update the index after a change has been committed, and unlink the removed parts."""
        remove_files(self._writer.root, change.obsolete)
        self._damaged.clear()
        for path in change.obsolete:
            self._ids.pop(path, None)
        for staged in change.staged:
            assert change.ids is not None
            self._ids[staged.path] = change.ids
        self._index()

    def _index(self) -> None:
        sizes = [len(ids) for ids in self._ids.values()]
        ids = np.concatenate([np.empty(0, np.int64), *self._ids.values()])
        order = np.argsort(ids, kind="stable")
        self._sorted_ids = ids[order]
        self._part_of = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row_of = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])[order]


@dataclass(frozen=True, slots=True)
class PartsChange:
    """At most one part to publish, with its ``ids``, and the paths of parts to remove."""

    staged: tuple[StagedFile, ...]
    obsolete: tuple[str, ...]
    ids: Ids | None

    def __bool__(self) -> bool:
        return bool(self.staged or self.obsolete)

    def apply(self, folders: shard_catalog.Folders, connection: Connection, generation: int) -> None:
        """Record the change in the catalog. Unlink the removed files afterwards; after a crash, a sweep does."""
        shard_catalog.forget_files(connection, self.obsolete)
        if self.staged:
            shard_catalog.publish(folders, connection, generation, None, self.staged)


def remove_dead_rows(writer: Writer) -> None:
    """Remove rows of dead images from all parts. The catalog no longer names the old files: unlink them."""
    query = "SELECT path, size, sha256, space_id FROM files WHERE died = ? AND kind = ? ORDER BY path"
    with writer.catalog.transaction() as connection:
        files = connection.execute(query, (FOREVER, PART)).fetchall()
        if not files:
            return
        alive = column(connection, "SELECT image_id FROM images WHERE died = ?", (FOREVER,))
    live_ids = np.array(alive, np.int64)
    staged, obsolete = [], []
    for old_path, size, sha256, space_id in files:
        rows = _read(writer, old_path, FileDigest(size, sha256))
        is_live = None if rows is None else np.isin(rows["image_id"], live_ids)
        if rows is not None and is_live is not None and is_live.all():
            continue
        obsolete.append(old_path)
        if rows is not None and is_live is not None and is_live.any():
            path = layout.part(space_id, writer.take_shard())
            staged.append(shard_catalog.stage(writer, path, PART, rows[is_live], space_id=space_id))
    if obsolete:
        change = PartsChange(tuple(staged), tuple(obsolete), None)
        writer.apply(lambda connection, generation: change.apply(writer, connection, generation))


def _read(writer: Writer, path: str, expected: FileDigest, dim: int | None = None) -> npt.NDArray[Any] | None:
    """Read a part, of ``dim`` dimensions if given; return None where it is damaged or missing."""
    try:
        if digest(writer.root, path, expected.size) != expected:
            return None
        part = load_array(writer.root, path)
    except (FileNotFoundError, CorruptCollectionError, ValueError):
        return None
    if part.ndim != 1 or part.dtype.names != ("image_id", "vector"):
        return None
    return part if dim is None or part.dtype == part_dtype(dim) else None
