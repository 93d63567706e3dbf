"""Build the vectors of a space beside those in use, then switch to it.

A function (:data:`MakeRows`) makes the rows of given image ids, from re-read pictures or anything else. Rows are
committed every ten seconds or 4,096 rows, fewer of long ones: as the vector file of each shard whose rows are complete,
else in parts. So an interrupted build resumes where it stopped, and no vector file ever lacks the row of a live image
of its shard. Searches see nothing of it before the switch, which is one commit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog import shard_catalog, spaces
from imseek.data.catalog.sql import Connection, column, execute_in, scalar, select_in
from imseek.data.collection_records import FOREVER, Shard
from imseek.data.files.collection_files import load_array
from imseek.data.shards import shard_files
from imseek.data.writing.space_build_rows import Ids, PartialRows, Row
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError
from imseek.progress import Task
from imseek.types.collection_info import SpaceInfo

COMMIT_ROWS = 4096
COMMIT_SECONDS = 10.0

#: Takes image ids and yields each, in order, with its (dim,) float16 unit row, or None where it cannot be made.
#: It may read some ids ahead and may end early.
MakeRows: TypeAlias = Callable[[Iterator[int]], Iterator[tuple[int, Row | None]]]


@dataclass(slots=True)
class _OpenShard:
    """A shard in progress: ``remaining`` rows are to come; ``is_complete`` is False once a row could not be made."""

    shard: Shard
    remaining: int
    is_complete: bool = True


class SpaceBuild:
    """The build of one space, by the writer that has the lock."""

    def __init__(self, writer: Writer, space: SpaceInfo, *, retry: bool = False) -> None:
        """With ``retry``, live images whose row in a file is zeros count as without a row."""
        self.space = space
        self._writer = writer
        self._parts = PartialRows(writer, space.space_id, space.dim)
        shards = writer.current().shards
        self._lacking = [shard for shard in shards if space.space_id not in shard.spaces]
        self._written_shards = {s.shard_id for s in shards if space.space_id in s.spaces}
        self._zeros = {shard_id: self._zero_rows(shard_id) for shard_id in sorted(self._written_shards) if retry}
        self._zeros = {shard_id: ids for shard_id, ids in self._zeros.items() if len(ids)}
        self._lacking += [shard for shard in shards if shard.shard_id in self._zeros]
        self._buffer: dict[int, Row] = {}
        self._complete: list[Shard] = []
        self._committed_at = time.monotonic()
        with writer.catalog.transaction() as connection:
            query = "SELECT COUNT(*) FROM images WHERE died = ? AND shard_id IS NOT NULL"
            #: Images that have a row in every space in use.
            self.total = int(scalar(connection, query, (FOREVER,)))
        missing = sum(len(self._ids_to_make(shard)) for shard in self._lacking)
        #: How many of them have a committed row in this space.
        self.done = self.total - missing

    @property
    def generation(self) -> int:
        return self._writer.generation

    def row_of(self, image_id: int) -> Row | None:
        """Return the (dim,) row of an image in this space, from a file or not yet committed.

        None if it has none, or zeros in its place.
        """
        row = self._row_of(image_id)
        return row if row is not None and row.any() else None

    def _row_of(self, image_id: int) -> Row | None:
        if image_id in self._buffer:
            return self._buffer[image_id]
        ids = np.array([image_id])
        if self._parts.contain(ids)[0]:
            rows = np.empty((1, self.space.dim), np.float16)
            self._parts.fill(ids, rows)
            part_row: Row = rows[0]
            return part_row
        with self._writer.catalog.transaction() as connection:
            query = "SELECT shard_id FROM images WHERE image_id = ? AND died = ?"
            shard_id = scalar(connection, query, (image_id, FOREVER))
        if shard_id not in self._written_shards:
            return None
        number = int(np.searchsorted(self._load(layout.ids(shard_id)), image_id))
        row: Row = np.array(self._load(self._path(shard_id))[number], np.float16)
        return row

    def run(self, make_rows: MakeRows, task: Task, phase: str, skipped: Callable[[], int] = lambda: 0) -> bool:
        """Make the missing rows; return True where the build went through all of them, made or not.

        Cancelling the task ends it after the rows in progress have been committed. After each commit, the task reports
        :attr:`done` of :attr:`total` as ``phase``, and how many were ``skipped`` so far. Raises CorruptCollectionError
        where the ids of a shard are damaged.
        """
        open_shards: deque[_OpenShard] = deque()
        is_exhausted = False

        def missing_ids() -> Iterator[int]:
            nonlocal is_exhausted
            for shard in self._lacking:
                with self._writer.catalog.transaction() as connection:
                    shard_catalog.check_intact(connection, self._writer, [shard.shard_id], kind="ids")
                ids = self._ids_to_make(shard)
                open_shards.append(_OpenShard(shard, len(ids)))
                for image_id in ids.tolist():
                    if task.is_cancelled:
                        return
                    yield image_id
            is_exhausted = True

        for image_id, row in make_rows(missing_ids()):
            self._close(open_shards)
            open_shards[0].remaining -= 1
            if row is None:
                open_shards[0].is_complete = False
            else:
                self._buffer[image_id] = row
            is_due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
            if is_due or len(self._buffer) >= min(COMMIT_ROWS, shard_files.block_rows(self.space.dim)):
                self._close(open_shards)
                self._flush()
                task.report(phase, self.done, self.total, skipped=skipped())
        self._close(open_shards)
        self._flush()
        task.report(phase, self.done, self.total, skipped=skipped())
        return is_exhausted and not open_shards

    def ids_without_row(self) -> list[int]:
        """Return ids of images in shards that have no row in this space. Not to be called during :meth:`run`."""
        return [int(image_id) for shard in self._lacking for image_id in self._ids_to_make(shard)]

    def fill(self) -> None:
        """Write the files of shards that lack rows, with zeros in place of those. Not to be called during :meth:`run`.

        A file that has zeros already is written anew only where rows have been made since.
        """
        for shard in list(self._lacking):
            zeros = self._zeros.get(shard.shard_id)
            if zeros is None or self._parts.contain(zeros).any():
                self._complete.append(shard)
                self._flush()

    def switch(self, replaces: int | None) -> int:
        """Put the space in use, beside the others or in place of another, which is kept; return the generation.

        Images without a row in it lose their vectors; the next ``index`` makes them again, under the same ids.
        """
        lost_ids = self.ids_without_row()
        staged = {}
        for shard in self._lacking:
            if not np.isin(self._live_ids(shard.shard_id), lost_ids).all():
                staged[shard.shard_id] = self._stage(shard)
        parts = self._parts.plan_removal()

        def change(connection: Connection, generation: int) -> None:
            for shard_id, file in staged.items():
                shard_catalog.publish(self._writer, connection, generation, shard_id, [file])
            query = "SELECT shard_id FROM images WHERE image_id IN (??)"
            shard_ids = {shard_id for (shard_id,) in select_in(connection, query, lost_ids)}
            execute_in(connection, "UPDATE images SET shard_id = NULL WHERE image_id IN (??)", lost_ids)
            for shard_id in sorted(shard_ids):
                shard_catalog.write_dead_rows(self._writer, connection, generation, shard_id)
            spaces.put_in_use(connection, self.space.space_id, replaces)
            parts.apply(self._writer, connection, generation)

        generation = self._writer.apply(change)
        self._parts.confirm(parts)
        return generation

    def _close(self, open_shards: deque[_OpenShard]) -> None:
        """Move on past shards with no rows to come; those with a gap wait for the switch or another build."""
        while open_shards and not open_shards[0].remaining:
            oldest = open_shards.popleft()
            if oldest.is_complete:
                self._complete.append(oldest.shard)

    def _flush(self) -> None:
        """Commit the files of complete shards, and all other rows in a part."""
        staged = {shard.shard_id: self._stage(shard) for shard in self._complete}
        finished = np.concatenate(
            [np.empty(0, np.int64), *(self._live_ids(shard.shard_id) for shard in self._complete)]
        )
        finished_ids = set(finished.tolist())
        other_rows = {image_id: row for image_id, row in self._buffer.items() if image_id not in finished_ids}
        parts = self._parts.plan(other_rows, finished)
        self._committed_at = time.monotonic()
        if not staged and not parts:
            return

        def change(connection: Connection, generation: int) -> None:
            # A file with zeros has this name already: both hold the same rows otherwise, so a reader may open either.
            shard_catalog.forget_files(connection, [file.path for file in staged.values()])
            for shard_id, file in staged.items():
                shard_catalog.publish(self._writer, connection, generation, shard_id, [file])
            parts.apply(self._writer, connection, generation)

        self._writer.apply(change)
        self._parts.confirm(parts)
        self._written_shards |= set(staged)
        self._lacking = [shard for shard in self._lacking if shard.shard_id not in staged]
        self.done += len(self._buffer)
        self._buffer.clear()
        self._complete.clear()

    def _stage(self, shard: Shard) -> shard_catalog.StagedFile:
        """Stage the vector file of a shard, with rows of zeros for images that have left the shard or leave it now."""
        ids, path = self._load(layout.ids(shard.shard_id)), self._path(shard.shard_id)
        earlier = None
        if shard.shard_id in self._zeros:
            with self._writer.catalog.transaction() as connection:
                shard_catalog.check_intact(connection, self._writer, [shard.shard_id], kind="vectors")
            earlier = self._load(path)

        def blocks() -> Iterator[npt.NDArray[np.float16]]:
            size = shard_files.block_rows(self.space.dim)
            for start in range(0, len(ids), size):
                block = np.array(ids[start : start + size])
                rows = np.zeros((len(block), self.space.dim), np.float16)
                if earlier is not None:
                    rows[:] = earlier[start : start + size]
                self._parts.fill(block, rows)
                for n, image_id in enumerate(block.tolist()) if self._buffer else ():
                    if image_id in self._buffer:
                        rows[n] = self._buffer[image_id]
                yield rows

        content = shard_files.MatrixBlocks(len(ids), self.space.dim, blocks())
        return shard_catalog.stage(self._writer, path, "vectors", content, space_id=self.space.space_id)

    def _ids_to_make(self, shard: Shard) -> Ids:
        """Return the ids of a shard's live images without a row, neither in its file nor in parts."""
        ids = self._live_ids(shard.shard_id)
        if shard.shard_id in self._zeros:
            ids = ids[np.isin(ids, self._zeros[shard.shard_id])]
        return ids[~self._parts.contain(ids)]

    def _zero_rows(self, shard_id: int) -> Ids:
        """Return the ids of a shard's live images whose row in its file is zeros."""
        ids, rows = self._load(layout.ids(shard_id)), self._load(self._path(shard_id))
        if rows.shape != (len(ids), self.space.dim):
            raise CorruptCollectionError(f"{self._path(shard_id)} does not have the rows of its shard")
        # The first numbers tell of nearly every row, so that long rows need not be read.
        numbers = [n for n in np.flatnonzero(~rows[:, :8].any(axis=1)).tolist() if not rows[n].any()]
        return np.intersect1d(np.array(ids)[numbers], self._live_ids(shard_id))

    def _live_ids(self, shard_id: int) -> Ids:
        """Return the ids of a shard's live images, ascending, including suspended and quarantined ones."""
        query = "SELECT image_id FROM images WHERE shard_id = ? AND died = ? ORDER BY image_id"
        with self._writer.catalog.transaction() as connection:
            return np.array(column(connection, query, (shard_id, FOREVER)), np.int64)

    def _path(self, shard_id: int) -> str:
        return layout.vectors(self.space.space_id, shard_id, self.space.modality)

    def _load(self, name: str) -> npt.NDArray[Any]:
        return load_array(self._writer.root, name)
