"""Rows of a space that is being built, by image id, until the vector files of their shards can be written.

A shard's vector file is written once, when all its rows are there. A shard may have a million, and some pictures may
not be readable today. What has been made meanwhile lies in parts: ``spaces/<n>/parts/<number>.npy``, arrays of
(image id, vector). They go by the ids of images, not by shards, so merging and repairing shards leaves them alone. No
reader looks at them: they are unlinked as soon as they are not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from imseek.data import layout, shard_catalog
from imseek.data import schema as t
from imseek.data.catalog import live
from imseek.data.collection_files import digest, load_array, remove_files
from imseek.data.durable_files import Written
from imseek.data.shard_catalog import StagedFile
from imseek.data.writer import Writer
from imseek.errors import CorruptCollectionError

#: Their kind in the catalog.
PART = "part"
#: A part is taken into the next one until it has so many rows.
PART_ROWS = 4096

Ids: TypeAlias = npt.NDArray[np.int64]
Row: TypeAlias = npt.NDArray[np.float16]
Rows: TypeAlias = npt.NDArray[np.float16]


def part_type(dim: int) -> np.dtype[Any]:
    """The type of the rows of a part."""
    return np.dtype([("image_id", "<i8"), ("vector", "<f2", (dim,))])


class Parts:
    """The parts of one space. A damaged one is passed over, and goes with the next change: its rows are made again."""

    def __init__(self, writer: Writer, space_id: int, dim: int) -> None:
        self._writer = writer
        self._space_id = space_id
        self._dim = dim
        self._ids: dict[str, Ids] = {}
        self._damaged: list[str] = []
        with writer.catalog.transaction() as connection:
            mine = live(t.files) & (t.files.c.kind == PART) & (t.files.c.space_id == space_id)
            recorded = connection.execute(select(t.files).where(mine).order_by(t.files.c.path)).all()
        for file in recorded:
            found = _read(writer, file.path, Written(file.size, file.sha256), dim)
            if found is None:
                self._damaged.append(file.path)
            else:
                self._ids[file.path] = np.array(found["image_id"])
        self._index()

    def __len__(self) -> int:
        return len(self._sorted)

    def held(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Which of these ids have a row here."""
        return np.isin(ids, self._sorted)

    def fill(self, ids: Ids, rows: Rows) -> None:
        """Put what is held of ``ids`` (n,) into their ``rows`` (n, dim)."""
        if not len(self._sorted):
            return
        at = np.searchsorted(self._sorted, ids)
        at[at == len(self._sorted)] = 0
        mine = np.flatnonzero(self._sorted[at] == ids)
        at = at[mine]
        paths = list(self._ids)
        for n in np.unique(self._part_of[at]).tolist():
            here = self._part_of[at] == n
            part = load_array(self._writer.root, paths[n])
            rows[mine[here]] = part["vector"][self._row_of[at[here]]]

    def plan(self, new: Mapping[int, Row], finished: Ids) -> Change:
        """Stage what keeps ``new`` rows; those of ``finished`` ids are not needed any more.

        The last part is written anew together with the new rows while it is small, so that a slow encoder, which
        commits few rows at a time, does not leave thousands of files.
        """
        gone = [*self._damaged, *(path for path, ids in self._ids.items() if np.isin(ids, finished).all())]
        if not new:
            return Change((), tuple(gone), None)
        kept = np.empty(0, part_type(self._dim))
        last = next(reversed(self._ids), None)
        if last is not None and last not in gone and len(self._ids[last]) < PART_ROWS:
            kept = load_array(self._writer.root, last, mapped=False)
            kept = kept[~np.isin(kept["image_id"], [*finished, *new])]
            gone.append(last)
        made = np.empty(len(kept) + len(new), part_type(self._dim))
        made[: len(kept)] = kept
        made["image_id"][len(kept) :] = np.fromiter(new, np.int64)
        made["vector"][len(kept) :] = np.stack(list(new.values()))
        made = made[np.argsort(made["image_id"])]
        path = layout.part(self._space_id, self._writer.take_shard())
        staged = shard_catalog.stage(self._writer, path, PART, made, space_id=self._space_id)
        return Change((staged,), tuple(gone), made["image_id"].astype(np.int64))

    def all_gone(self) -> Change:
        """Nothing is needed any more."""
        return Change((), (*self._damaged, *self._ids), None)

    def done(self, change: Change) -> None:
        """A change has been committed."""
        remove_files(self._writer.root, change.gone)
        self._damaged.clear()
        for path in change.gone:
            self._ids.pop(path, None)
        for staged in change.staged:
            assert change.ids is not None
            self._ids[staged.path] = change.ids
        self._index()

    def _index(self) -> None:
        sizes = [len(ids) for ids in self._ids.values()]
        ids = np.concatenate([np.empty(0, np.int64), *self._ids.values()])
        order = np.argsort(ids, kind="stable")
        self._sorted = ids[order]
        self._part_of = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row_of = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])[order]


@dataclass(frozen=True, slots=True)
class Change:
    """A part to publish, if any, with the ``ids`` in it, and the paths of those that are not needed any more."""

    staged: tuple[StagedFile, ...]
    gone: tuple[str, ...]
    ids: Ids | None

    def __bool__(self) -> bool:
        return bool(self.staged or self.gone)

    def apply(self, folders: shard_catalog.Folders, connection: Connection, generation: int) -> None:
        """In the catalog. The files that are gone are unlinked afterwards: killed before that, a sweep does it."""
        shard_catalog.forget(connection, self.gone)
        if self.staged:
            shard_catalog.publish(folders, connection, generation, None, self.staged)


def forget_dead(writer: Writer) -> None:
    """Take rows of images that have died out of all parts. The old files are not named any more: unlink them."""
    p, i = t.files.c, t.images.c
    with writer.catalog.transaction() as connection:
        recorded = connection.execute(
            select(t.files).where(live(t.files), p.kind == PART).order_by(p.path)
        ).all()
        if not recorded:
            return
        alive = connection.execute(select(i.image_id).where(live(t.images))).scalars().all()
    living = np.array(alive, np.int64)
    staged, gone = [], []
    for file in recorded:
        rows = _read(writer, file.path, Written(file.size, file.sha256))
        kept = None if rows is None else np.isin(rows["image_id"], living)
        if rows is not None and kept is not None and kept.all():
            continue
        gone.append(file.path)
        if rows is not None and kept is not None and kept.any():
            path = layout.part(file.space_id, writer.take_shard())
            staged.append(shard_catalog.stage(writer, path, PART, rows[kept], space_id=file.space_id))
    if gone:
        change = Change(tuple(staged), tuple(gone), None)
        writer.apply(lambda connection, generation: change.apply(writer, connection, generation))


def _read(writer: Writer, path: str, written: Written, dim: int | None = None) -> npt.NDArray[Any] | None:
    """A part, of ``dim`` dimensions where that is given; None where it is not as it was written."""
    try:
        if digest(writer.root, path, written.size) != written:
            return None
        found = load_array(writer.root, path)
    except (FileNotFoundError, CorruptCollectionError, ValueError):
        return None
    if found.ndim != 1 or found.dtype.names != ("image_id", "vector"):
        return None
    return found if dim is None or found.dtype == part_type(dim) else None
