"""Open a catalog that is a SQLite file, for reading or for a writer.

A catalog may come from someone else. So three things are checked before it is queried or written: it and the files that
SQLite keeps beside it are regular files; there is no rollback journal (which could make SQLite delete a file that it
names); and each statement of its schema is one that imseek writes. That excludes triggers, views, virtual tables and
computed columns, which could run foreign code. The cost of a query is bounded by the size of the file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from imseek.data import layout
from imseek.data.catalog.migrations import check_schema, migrate, refuse_newer_version
from imseek.data.catalog.sqlite.errors import storage_error
from imseek.data.files.collection_files import HARD_LINK, foreign_file_error, kind_of, permissions
from imseek.errors import CorruptCollectionError, repair_command

#: SQLite's errors where it cannot create the file through which it shares memory with writers.
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN)

#: Maximum bytes of one value in a catalog. SQLite's default is a thousand million.
_MAX_VALUE = 1 << 26
#: Virtual-machine steps allowed to one statement: a minimum, plus some per byte of the catalog. Reading and sorting all
#: of it takes about two steps a byte; SQLite runs some fifty million a second.
_STEPS, _STEPS_PER_BYTE = 50_000_000, 20
#: Steps between two checks of the budget.
_STRIDE = 1_000_000


class _StatementBudget:
    """Interrupts a statement that takes more steps than a catalog of its size can need.

    ``used`` is set to 0 before each statement. The size is that of the catalog at ``path`` plus its log, measured again
    when exceeded: a writer starts with an empty catalog and may add millions of rows before it reads them all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._budget = self._allowed()
        self.used = 0

    def is_over(self) -> bool:
        """Called by SQLite every ``_STRIDE`` steps; True ends the statement."""
        self.used += 1
        if self.used > self._budget:  # The file may have grown.
            self._budget = self._allowed()
        return self.used > self._budget

    def _allowed(self) -> int:
        size = 0
        for name in (self._path, f"{self._path}-wal"):
            with suppress(OSError):
                size += os.stat(name, follow_symlinks=False).st_size
        return (_STEPS + _STEPS_PER_BYTE * size) // _STRIDE


class SqliteConnection(sqlite3.Connection):
    """A connection in autocommit mode, as :class:`imseek.data.catalog.sql.Connection`."""

    dialect: Final = "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a transaction that takes SQLite's write lock at once. A nested one fails."""
        if self.in_transaction:
            raise RuntimeError("a transaction inside another")
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise


class CatalogConnection(SqliteConnection):
    """A connection to a possibly hostile catalog, made by :func:`open_catalog` or :func:`open_for_writing`.

    Each statement has a step budget of its own.
    """

    meter: _StatementBudget

    def guard(self, path: Path) -> None:
        """Limit the cost of statements and the size of values on the catalog at ``path``."""
        self.meter = _StatementBudget(path)
        self.set_progress_handler(self.meter.is_over, _STRIDE)
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        self.execute("PRAGMA trusted_schema = OFF")

    def execute(self, query: str, values: Any = (), /) -> sqlite3.Cursor:
        self.meter.used = 0
        return super().execute(query, values)

    def executemany(self, query: str, values: Any, /) -> sqlite3.Cursor:
        self.meter.used = 0
        return super().executemany(query, values)


@contextmanager
def connect_file(root: Path) -> Iterator[sqlite3.Connection]:
    """As :func:`imseek.data.catalog.read_connection.connect_read_only`, for queries that need SQLite itself."""
    path = root / layout.CATALOG
    with translate_sqlite_errors(path), closing(open_catalog(path)) as connection:
        yield connection


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Context manager that translates SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            # The file is sound, but does not fit the query.
            check_version(path)
        raise storage_error(error, path) from error


def check_version(path: Path) -> None:
    """Raise FormatVersionError for a SQLite catalog written by a later imseek, before anything is written."""
    try:
        with closing(open_catalog(path)) as connection:
            refuse_newer_version(connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise storage_error(error, path) from error


def open_catalog(path: Path) -> CatalogConnection:
    """Open a catalog, or a copy of one, for reading by one thread at a time.

    Raises CorruptCollectionError where :func:`check_files` rejects it or its schema is not one that imseek makes.

    Where SQLite cannot create the files that it shares with writers, because the folder is read-only or the disk is
    full, there is no writer either. Then the catalog is opened immutable, which ignores a write-ahead log. So where a
    dead writer left a log with content, SQLite is instead given exclusive access, and keeps the log's index in memory.
    """
    check_files(path)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connect = partial(_connect, path, uri=True)
    has_no_log = is_folded(path)
    if os.access(path.parent, os.W_OK) or (path.with_name(f"{path.name}-shm").exists() and not has_no_log):
        connection = connect(uri)
        try:
            return _check_or_close(connection, path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _NO_SHARED_MEMORY:
                raise
    if has_no_log:
        return _check_or_close(connect(f"{uri}&immutable=1"), path)
    connection = connect(f"{uri}&vfs=unix-none")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return _check_or_close(connection, path)


def open_for_writing(path: Path, timeout: float) -> CatalogConnection:
    """Open a writer's connection, in WAL mode with ``synchronous=FULL``; creates a missing catalog.

    Raises as :func:`open_catalog`, and FormatVersionError for a catalog of a later imseek.
    """
    check_files(path)
    _create_empty(path)
    connection = _check_or_close(_connect(path, path, timeout=timeout), path, writing=True)
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def open_copy(source: sqlite3.Connection) -> SqliteConnection:
    """Copy a catalog into memory, migrated where its version is older."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=SqliteConnection)
    try:
        source.backup(copy)
        migrate(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def is_folded(path: Path) -> bool:
    """Whether the catalog is complete in its one file: there is no write-ahead log beside it, or an empty one.

    The last connection deletes the log as it closes, perhaps while another process asks.
    """
    try:
        return os.stat(f"{path}-wal").st_size == 0
    except FileNotFoundError:
        return True


def check_files(path: Path) -> None:
    """Reject a catalog that has a rollback journal, or where it or a companion is not a regular file.

    Raises CorruptCollectionError. A catalog uses a write-ahead log. The last bytes of a rollback journal may name a
    file that SQLite deletes after playing the journal back (sqlite.org/fileformat2.html, "The Rollback Journal").
    """
    for ending in ("", "-journal", "-wal", "-shm"):
        try:
            info = os.lstat(f"{path}{ending}")
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            return
        if not stat.S_ISREG(info.st_mode):
            raise foreign_file_error(path.parent, path.name + ending, kind_of(info))
        if ending in ("-wal", "-shm") and info.st_nlink > 1:
            raise foreign_file_error(path.parent, path.name + ending, HARD_LINK)  # Readers write to them too.
        if ending == "-journal" and info.st_size:
            raise CorruptCollectionError(
                f"{path}{ending} exists, but the catalog never has a rollback journal",
                hint=repair_command(path.parent),
            )


def _create_empty(path: Path) -> None:
    """Create a missing catalog as an empty file with the permissions of its folder; SQLite would apply the umask."""
    with suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            os.fchmod(fd, permissions(path.parent))
        finally:
            os.close(fd)


def _connect(path: Path, database: str | Path, *, uri: bool = False, timeout: float = 10) -> CatalogConnection:
    connection = sqlite3.connect(database, timeout=timeout, uri=uri, check_same_thread=False, factory=CatalogConnection)
    try:
        connection.guard(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_or_close(connection: CatalogConnection, path: Path, *, writing: bool = False) -> CatalogConnection:
    """Return the connection if its schema is one of imseek's; otherwise close it and raise."""
    try:
        check_schema(connection, path, writing=writing)
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):  # SQLite's message holds invalid bytes of the file.
            raise sqlite3.DatabaseError("malformed database schema") from error
        raise
    return connection
