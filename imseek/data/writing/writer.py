"""The only writer of a collection: it holds a lock, leases ids to its run, and makes atomic changes.

A change makes its files durable, then commits the catalog transaction, then rewrites ``current.json``. A crash before
the commit leaves unreferenced files, which the next writer sweeps; a crash after it leaves a ``current.json`` one
generation behind, which the next writer rewrites. A catalog on a server stores the content of ``current.json`` itself:
if two writers both believed that they had the lock, the later one could not stop the earlier one from writing a file.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from imseek.data import layout
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_check import check_catalog
from imseek.data.catalog.catalog_writer import current_of, get_meta, now, set_meta
from imseek.data.catalog.sql import Connection, column, insert, scalar
from imseek.data.collection_records import FOREVER, Current, read_identity
from imseek.data.files import collection_files, durable_files
from imseek.data.files.collection_files import FoundFiles, find_files, find_strange_at_top, refuse_strange
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.processes import boot_id, host, process_start_time
from imseek.data.repair.error_diagnosis import note_opened
from imseek.data.trust import check_trusted
from imseek.data.words import documents
from imseek.errors import CorruptCollectionError, ImseekError, LockedError, StorageError, repair_command
from imseek.progress import SILENT, Progress, ProgressCallback, StopRequest, Task

#: Retired files are kept for this long for readers that still have an older generation open.
GRACE_SECONDS = 3600.0
#: Between commits, the progress of a run is written at most this often.
PROGRESS_SECONDS = 2.0
_LEASE_IDS = 16_384
_LEASE_SHARDS = 64

#: A change receives the transaction's connection and the number of the generation it makes.
Change = Callable[[Connection, int], None]


class Writer:
    """Context manager: entering takes the lock and repairs what a crashed writer left; leaving ends the run.

    ``kind`` names the command, for users who meet the lock. ``swept`` is how many unused files were removed on
    entering. Callers may set ``detail``, which later generations store in the run's record. Raises
    CollectionNotFoundError, UntrustedCollectionError or ReadOnlyError when constructed, and LockedError,
    FormatVersionError or CorruptCollectionError on entry.
    """

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.kind = kind
        self.staging = root / layout.STAGING
        self.unsynced: set[str] = set()
        self.detail: Mapping[str, Any] = {}
        self._task = SILENT
        self._progress: Mapping[str, Any] = {}
        self._progress_due = time.monotonic() + PROGRESS_SECONDS
        self._uuid = read_identity(root).uuid
        note_opened(root)
        check_trusted(root, "writing to it")
        self._backend = backend_of(root)
        self._lock = self._backend.lock()
        self._next_id = self._ids_to = 0
        self._next_shard = self._shards_to = 0

    def __enter__(self) -> Writer:
        refuse_strange(self.root, find_strange_at_top(self.root))
        self._lock.acquire()
        with translate_os_errors(self.root), ExitStack() as undo:
            undo.callback(self._lock.release)
            refuse_strange(self.root, find_listed_files(self.root).strange)
            self.catalog = self._backend.open_for_writing(self._uuid)
            undo.callback(self.catalog.close)
            self._recover(self._uuid)
            self._add_missing_documents()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._lock.release)
            stack.callback(self.catalog.close)
            try:
                with translate_os_errors(self.root):
                    self._end(*_outcome(error, self._task))
            except Exception as failure:
                if error is None:
                    raise
                if isinstance(error, StorageError) and isinstance(failure, LockedError):
                    raise  # The writer that took over has also removed the files that this one misses.
                # Most likely the same cause (a full disk), which the first error explains better.
                error.add_note(f"after that, the run could not be ended: {failure}")

    def apply(self, change: Change) -> int:
        """Run ``change`` as one generation, which is durable when this returns; return its number.

        Names of published files are made durable before the catalog records them.
        """
        self.unsynced.clear()
        with translate_os_errors(self.root), self.transaction() as connection:
            generation = int(get_meta(connection, "generation")) + 1
            change(connection, generation)
            self._record_progress(connection)
            if self.detail:
                detail = json.dumps(self.detail, sort_keys=True)
                self._update_run(connection, detail=detail)
            set_meta(connection, "generation", generation)
            set_meta(connection, "committed", now())
            current = current_of(connection)
            self.catalog.record_current(connection, current)
            collection_files.sync_folders(self.root, self.unsynced)
        self.catalog.publish_current(current)
        return generation

    def begin_task(self, progress: ProgressCallback | None, stop: threading.Event | None) -> Task:
        """Return the task of the run, which reports to ``progress``, and to other processes through the run's record.

        Where ``stop`` was set, the run ends as interrupted unless it fails.
        """

        def report(state: Progress) -> None:
            self.note_progress({**asdict(state), "seconds": round(state.seconds, 3)})
            if progress is not None:
                progress(state)

        # Every report counts: what is committed with the next generation is the last of them.
        self._task = Task(report, stop, interval=0)
        return self._task

    def note_progress(self, progress: Mapping[str, Any]) -> None:
        """Publish the progress of the run: with the next commit, or by itself every ``PROGRESS_SECONDS``.

        Call it from the writing thread, as often as you like, but never within a change. What ``progress`` counts must
        have been committed. Raises as :meth:`transaction`.
        """
        self._progress = progress
        if time.monotonic() < self._progress_due:
            return
        with translate_os_errors(self.root), self.transaction() as connection:
            self._record_progress(connection)
        self._progress_due = time.monotonic() + PROGRESS_SECONDS

    def _record_progress(self, connection: Connection) -> None:
        if self._progress:
            progress = json.dumps(self._progress, sort_keys=True)
            self._update_run(connection, progress=progress)

    def renew_backup(self, name: str) -> None:
        """Replace a backup by a copy of the present catalog. Does nothing for a catalog on a server."""
        self.catalog.renew_backup(name)
        self._backed_up = self.generation

    @property
    def generation(self) -> int:
        with self.catalog.transaction() as connection:
            return int(get_meta(connection, "generation"))

    def current(self) -> Current:
        with self.catalog.transaction() as connection:
            return current_of(connection)

    # -- leases ----------------------------------------------------------------------------------------

    def take_ids(self, count: int) -> range:
        """Return ``count`` image ids that no other image has or will have."""
        if self._next_id + count > self._ids_to:
            self._ids_to = self._lease("next_image_id", max(count, _LEASE_IDS))
        ids = range(self._next_id, self._next_id + count)
        self._next_id += count
        return ids

    def take_shard(self) -> int:
        if self._next_shard == self._shards_to:
            self._shards_to = self._lease("next_shard_id", _LEASE_SHARDS)
        self._next_shard += 1
        return self._next_shard - 1

    def _lease(self, name: str, count: int) -> int:
        # Only one writer leases at a time, so a longer lease always continues the previous one.
        with self.transaction() as connection:
            end = int(get_meta(connection, name)) + count
            set_meta(connection, name, end)
            leased = {"next_image_id": "ids_to", "next_shard_id": "shards_to"}[name]
            self._update_run(connection, **{leased: end})
        return end

    # -- the run ---------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction, if this writer still has the collection. Raises LockedError if it has not.

        The lock alone would do, except on file systems that grant it on two hosts, or if a server has ended the
        session. The later writer then ends the earlier one's run, which is noticed here, and the earlier one changes
        nothing more.
        """
        with self.catalog.transaction() as connection:
            self._lock.check()
            if scalar(connection, "SELECT state FROM runs WHERE run_id = ?", (self.run_id,)) != "running":
                raise LockedError(
                    f"{self.root} was taken over by another writer; everything committed before is safe",
                    hint=self.catalog.takeover_hint,
                )
            yield connection

    def _recover(self, uuid: str) -> None:
        published = self.catalog.read_current()
        if published is not None and published.uuid != uuid:
            published = None
        with self.catalog.transaction() as connection:
            check_catalog(connection, self.root)
            if get_meta(connection, "uuid") != uuid:
                raise self._corrupt(f"the catalog in {self.root} belongs to another collection")
            generation = int(get_meta(connection, "generation"))
            if published is not None and published.generation > generation:
                # Commits write the catalog first, so it has lost some; going on would lose their images.
                raise self._corrupt(
                    f"the catalog in {self.root} is at generation {generation}, "
                    f"but {layout.CURRENT} at {published.generation}"
                )
            # We have the lock, so any run recorded as running has crashed.
            crashed = connection.execute(
                "UPDATE runs SET state = 'interrupted', ended_at = ? WHERE state = 'running'", (now(),)
            )
            if crashed.rowcount and not self._backend.is_file:
                # Or it does not know yet that it lost the lock, and is about to publish files with the number of the
                # next generation. Skip that number, so that our files have other names.
                set_meta(connection, "generation", generation + 1)
            if scalar(connection, "SELECT state FROM runs ORDER BY run_id DESC LIMIT 1") != "done":
                # The run may have stopped between creating a folder and its fsync, which nobody would repeat.
                collection_files.sync_folders(self.root, ("", *find_listed_files(self.root).folders))
            self._begin(connection)
            current = current_of(connection)
            self.catalog.record_current(connection, current)
        self._backed_up = current.generation
        if published != current:
            self.catalog.publish_current(current)
        self._sweep()

    def _add_missing_documents(self) -> None:
        """Add the documents of images that were stored before there were documents, or came back by a repair.

        Documents that a SQLite without FTS5 has written are added to the index, those of earlier rules are replaced.
        They only repeat what is stored already, so no new generation begins.
        """
        with self.transaction() as connection:
            if not documents.is_filled(connection):
                documents.fill(connection, int(get_meta(connection, "generation")), self.root)
            elif not documents.is_current(connection):
                documents.renew(connection, int(get_meta(connection, "generation")), self.root)
            documents.update_index(connection)

    def _begin(self, connection: Connection) -> None:
        self.run_id = int(scalar(connection, "SELECT COALESCE(MAX(run_id), 0) FROM runs")) + 1
        self._next_id = self._ids_to = int(get_meta(connection, "next_image_id"))
        # Files of shards unknown to a restored catalog must not be overwritten.
        shard_ids = [layout.shard_of(path) for path in find_listed_files(self.root).files]
        first = max((shard_id + 1 for shard_id in shard_ids if shard_id is not None), default=0)
        self._next_shard = self._shards_to = max(first, int(get_meta(connection, "next_shard_id")))
        set_meta(connection, "next_shard_id", self._next_shard)
        run = {
            "run_id": self.run_id,
            "kind": self.kind,
            "pid": os.getpid(),
            "host": host(),
            "boot_id": boot_id(),
            "pid_started": process_start_time(os.getpid()),
            "started_at": now(),
            "state": "running",
            "detail": "{}",
            "progress": "{}",
            "ids_from": self._next_id,
            "ids_to": self._ids_to,
            "shards_from": self._next_shard,
            "shards_to": self._shards_to,
        }
        insert(connection, "runs", [run])

    def _update_run(self, connection: Connection, **values: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE runs SET {columns} WHERE run_id = ?", (*values.values(), self.run_id))  # noqa: S608

    def _end(self, state: str, exit_code: int) -> None:
        has_changed = self.generation > self._backed_up
        self._end_run(state, exit_code)
        self.catalog.end_run(has_changed=has_changed)
        durable_files.remove_tree(self.staging)

    def _end_run(self, state: str, exit_code: int) -> None:
        with self.transaction() as connection:
            self._record_progress(connection)
            leased = {"ids_to": self._next_id, "shards_to": self._next_shard}
            self._update_run(connection, state=state, exit_code=exit_code, ended_at=now(), **leased)
            # Return unused leases, so that ids stay dense.
            set_meta(connection, "next_image_id", self._next_id)
            set_meta(connection, "next_shard_id", self._next_shard)

    def _corrupt(self, message: str) -> CorruptCollectionError:
        return CorruptCollectionError(message, hint=repair_command(self.root))

    def _sweep(self) -> None:
        """Remove retired files whose grace time is over, and files left by interrupted commits."""
        clock = time.time()
        # Listed before the catalog is read, so that files published meanwhile by a later writer are not included.
        files = find_listed_files(self.root).files
        with self.transaction() as connection:
            # A time in the future means that the clock was set back: count from now instead.
            connection.execute("UPDATE files SET retired_at = ? WHERE retired_at > ?", (clock, clock))
            expired = (FOREVER, clock - GRACE_SECONDS)
            paths = column(connection, "SELECT path FROM files WHERE died <> ? AND retired_at < ?", expired)
            self.swept = collection_files.remove_files(self.root, paths)
            connection.execute("DELETE FROM files WHERE died <> ? AND retired_at < ?", expired)
            listed_paths = set(column(connection, "SELECT path FROM files"))
            leases = connection.execute("SELECT shards_from, shards_to FROM runs").fetchall()
        orphans = [path for path in files if path not in listed_paths]
        # A shard id that no known run leased comes from a lost catalog: `repair` adopts it.
        self.swept += collection_files.remove_files(self.root, (path for path in orphans if _may_sweep(path, leases)))


def _may_sweep(path: str, leases: Sequence[Any]) -> bool:
    """Whether an orphan was left by an interrupted commit of a run with one of these leases of shard ids."""
    file = layout.parse(path)
    if file is None:  # Not one of our names: `verify` reports it.
        return False
    if file.shard_id is None:
        return True
    return any(start <= file.shard_id < end for start, end in leases)


def _outcome(error: BaseException | None, task: Task) -> tuple[str, int]:
    """Return the state and exit code that a run ends with."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if error is not None:
        return "failed", error.exit_code if isinstance(error, ImseekError) else 1
    if task.is_cancelled:
        stop = task.stop
        return "interrupted", (stop if isinstance(stop, StopRequest) else StopRequest).exit_code
    return "done", 0


def find_listed_files(root: Path) -> FoundFiles:
    """Return all entries of the folders whose files the catalog lists. Raises StorageError."""
    with translate_os_errors(root):
        return find_files(root, *layout.LISTED_FOLDERS)
