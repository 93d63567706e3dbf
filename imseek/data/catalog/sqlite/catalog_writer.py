"""The writer's connection to a catalog that is a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imseek.data import layout
from imseek.data.catalog.catalog_writer import Catalog
from imseek.data.catalog.migrations import migrate
from imseek.data.catalog.sql import Connection
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_file import open_for_writing
from imseek.data.catalog.sqlite.errors import storage_error
from imseek.data.collection_records import Current, parse_current, write_current
from imseek.data.files.checksummed_json import read_checksummed
from imseek.data.files.collection_files import digest
from imseek.errors import CorruptCollectionError, LockedError

#: Seconds to wait for another program that has the catalog open.
BUSY_SECONDS = 10.0


class SqliteCatalog(Catalog):
    """A :class:`Catalog` in the file ``catalog.sqlite`` of the folder ``root``.

    ``checksums`` are the recorded ones that still hold; only a writer of a collection needs them.
    """

    takeover_hint = "a collection is written on one host at a time: keep it on a local disk"

    def __init__(self, root: Path, checksums: Checksums | None = None) -> None:
        self.root = root
        self._checksums = checksums
        with self._translated():
            self._connection = open_for_writing(root / layout.CATALOG, BUSY_SECONDS)
        try:
            with self._translated():
                migrate(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection, which checkpoints the write-ahead log into the file.

        SQLite locks readers out while it checkpoints and removes the log on close. So the log is first checkpointed and
        truncated as far as that is possible without waiting for readers.
        """
        with suppress(sqlite3.DatabaseError):  # Closing retries.
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    @property
    def _staging(self) -> Path:
        return self.root / layout.STAGING

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._translated(), self._connection.transaction():
            yield self._connection

    def scrub(self) -> tuple[str, ...]:
        """Rewrite the file, so that deleted data remains in none of its pages, nor in its log.

        Until the next transaction is durable, a power cut may bring the old log back. Raises as :meth:`fold`.
        """
        path = self.root / layout.CATALOG
        try:
            # SQLite's temporary folder may be too small, or on a shared disk.
            self._connection.execute("PRAGMA temp_store = MEMORY")
            self._connection.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            raise storage_error(error, path, writing=True) from error
        self.fold()
        return ()

    def fold(self) -> None:
        """Checkpoint the write-ahead log into the file, so that it can be used without the log.

        Closing does that too, but does not report failure. Raises StorageError, and LockedError where another program
        reads from the log for longer than ``BUSY_SECONDS``.
        """
        path = self.root / layout.CATALOG
        try:
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.DatabaseError as error:
            raise storage_error(error, path, writing=True) from error
        if busy:
            raise LockedError(f"{path} is being read by another program", hint="close it, then try again")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # A bug of ours, not a disk error.
            raise
        except sqlite3.DatabaseError as error:
            raise storage_error(error, self.root / layout.CATALOG, writing=True) from error

    def read_current(self) -> Current | None:
        """Read ``current.json``; None where it is damaged, as it can be rewritten from the catalog."""
        try:
            return parse_current(self.root, read_checksummed(self.root, layout.CURRENT))
        except CorruptCollectionError:
            return None

    def record_current(self, connection: Connection, current: Current) -> None:
        """Do nothing: ``current.json`` follows after the commit."""

    def publish_current(self, current: Current) -> None:
        write_current(self.root, current, self._staging)

    def renew_backup(self, name: str) -> None:
        assert self._checksums is not None, "opened by a writer"
        # Remove the recorded checksum first: if the copy fails half-way, it no longer describes the backup.
        self._checksums = catalog_checksums.revoke(self.root, self._staging, self._checksums, name)
        catalog_backups.back_up(self.root, self._staging, self.root / name)
        self._checksums = self._checksums.with_digest(name, digest(self.root, name))

    def end_run(self, *, has_changed: bool) -> None:
        if has_changed:
            self.renew_backup(catalog_backups.next_target(self.root).name)
        assert self._checksums is not None, "opened by a writer"
        catalog_checksums.record_catalog(self.root, self._staging, self._checksums)
