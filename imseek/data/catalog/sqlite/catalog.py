"""The writer's connection to a catalog that is a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError, SQLAlchemyError

from imseek.data import layout
from imseek.data.catalog.catalog import Catalog
from imseek.data.catalog.migrations import migrate
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_file import open_for_writing
from imseek.data.catalog.sqlite.errors import storage_error
from imseek.data.collection_records import Current, parse_current, write_current
from imseek.data.files.checksummed_files import read_checksummed
from imseek.data.files.collection_files import digest
from imseek.errors import CorruptCollectionError, LockedError

#: Seconds to wait for another program that has the catalog open.
BUSY_SECONDS = 10.0


def open_engine(path: Path) -> Engine:
    """Create an engine that uses SQLite's own transactions: BEGIN IMMEDIATE, WAL, synchronous=FULL.

    It has one connection, since write transactions do not nest: a nested one fails at once instead of waiting for the
    outer one to time out.
    """
    url = URL.create("sqlite", database=str(path))  # A path may hold a question mark.
    engine = create_engine(
        url,
        creator=lambda: open_for_writing(path, BUSY_SECONDS),
        pool_size=1,
        max_overflow=0,
        pool_timeout=0,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class SqliteCatalog(Catalog):
    """A :class:`Catalog` in the file ``catalog.sqlite`` of the folder ``root``.

    ``checksums`` are the recorded ones that still hold; only a writer of a collection needs them.
    """

    takeover_hint = "a collection is written on one host at a time: keep it on a local disk"

    def __init__(self, root: Path, checksums: Checksums | None = None) -> None:
        self.root = root
        self._checksums = checksums
        self.engine = open_engine(root / layout.CATALOG)
        try:
            with self._translated():
                migrate(self.engine)
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Close the connection, which checkpoints the write-ahead log into the file.

        SQLite locks readers out while it checkpoints and removes the log on close. So the log is first checkpointed and
        truncated as far as that is possible without waiting for readers.
        """
        with suppress(SQLAlchemyError, sqlite3.DatabaseError):  # Closing retries.
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute("PRAGMA busy_timeout = 0")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()  # Back to the pool.
        self.engine.dispose()

    @property
    def _staging(self) -> Path:
        return self.root / layout.STAGING

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._translated(), self.engine.begin() as connection:
            yield connection

    def scrub(self) -> tuple[str, ...]:
        """Rewrite the file, so that deleted data remains in none of its pages, nor in its log.

        Until the next transaction is durable, a power cut may bring the old log back. Raises as :meth:`fold`.
        """
        path = self.root / layout.CATALOG
        try:
            with closing(self.engine.raw_connection()) as connection:
                # SQLite's temporary folder may be too small, or on a shared disk.
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute("VACUUM")
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
            with closing(self.engine.raw_connection()) as connection:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.DatabaseError as error:
            raise storage_error(error, path, writing=True) from error
        if busy:
            raise LockedError(f"{path} is being read by another program", hint="close it, then try again")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError):  # A bug of ours, not a disk error.
            raise
        except DatabaseError as error:
            if not isinstance(error.orig, sqlite3.Error):  # From another catalog, of which this is a copy.
                raise
            raise storage_error(error.orig, self.root / layout.CATALOG, writing=True) from error

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
