"""Reading the catalog without SQLAlchemy: a connection for a few queries, or one that is held between searches."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from imseek.data import layout
from imseek.data.sqlite_errors import storage_error
from imseek.errors import ImseekError

#: What SQLite says where there is no room for the file through which it shares memory with writers.
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN)


class Rows(Protocol):
    """What a query gives, as cursors do."""

    @property
    def description(self) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchmany(self, size: int = ..., /) -> list[Any]: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Asked(Protocol):
    """A connection for questions: one of :mod:`sqlite3`, or one to a server that takes the same SQL."""

    def execute(self, query: str, values: Any = ..., /) -> Rows: ...

    def close(self) -> None: ...


def address_of(root: Path) -> str | None:
    """The URL of the database that has the catalog, None where it is a file."""
    if not layout.is_elsewhere(root):
        return None
    from imseek.data.postgres.address import read_address

    return read_address(root).url


@contextmanager
def connect_read_only(root: Path) -> Iterator[Asked]:
    """A read-only connection to the catalog, for queries in the body of the ``with``.

    Raises CorruptCollectionError where SQLite cannot read it, LockedError or StorageError where it cannot now, and
    FormatVersionError where a later imseek has changed what the query asks for.
    """
    if layout.is_elsewhere(root):
        from imseek.data.postgres import reading

        with reading.asking(root) as asked:
            yield asked
        return
    with connect_file(root) as connection:
        yield connection


@contextmanager
def connect_file(root: Path) -> Iterator[sqlite3.Connection]:
    """As :func:`connect_read_only`, for what only a catalog in SQLite can be asked."""
    path = root / layout.CATALOG
    with _told(path), closing(open_catalog(path)) as connection:
        yield connection


def open_reading(root: Path) -> Asked:
    """A connection for reading that the caller closes; its errors are for :func:`told`. One thread at a time."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres import reading

        return reading.opened(root)
    return open_catalog(root / layout.CATALOG)


def told(root: Path) -> AbstractContextManager[None]:
    """What the catalog of a collection raises, as our own errors: as :func:`connect_read_only`."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres import reading

        return reading.told(root)
    return _told(root / layout.CATALOG)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite raises, as our own errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            # The file is sound, the query does not fit it. Imported here: the read path has no SQLAlchemy.
            from imseek.data.migrations import check_version

            check_version(path)
        raise storage_error(error, path) from error


def open_catalog(path: Path) -> sqlite3.Connection:
    """A connection for reading a catalog or a copy of one; one thread at a time may use it.

    Where SQLite cannot make the files that it shares with writers, since the folder cannot be written or the disk is
    full, there is no writer either. Then it is opened immutable. That passes over a write-ahead log; so where a dead
    writer left one with content, SQLite is told that it has the catalog to itself, and keeps the index of the log in
    memory.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connect = partial(sqlite3.connect, uri=True, timeout=10, check_same_thread=False)
    wal, shared = (path.with_name(path.name + ending) for ending in ("-wal", "-shm"))
    folded = not wal.exists() or wal.stat().st_size == 0
    if os.access(path.parent, os.W_OK) or (shared.exists() and not folded):
        connection = connect(uri)
        try:
            return _asked(connection)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _NO_SHARED_MEMORY:
                raise
    if folded:
        return _asked(connect(f"{uri}&immutable=1"))
    connection = connect(f"{uri}&vfs=unix-none")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return _asked(connection)


def _asked(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, once SQLite has read the schema with it; closed where it cannot."""
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    except (
        UnicodeDecodeError
    ) as error:  # SQLite names what is wrong in the schema, in the bytes it has there.
        connection.close()
        raise sqlite3.DatabaseError("malformed database schema") from error
    return connection


class HeldCatalog:
    """Read-only, for one thread at a time. It keeps no transaction open, so that no writer waits for it.

    Another catalog may take the place of the one that is open (a repair), and another process the place of this one (a
    fork): then it is opened anew. Where the folder cannot be written, SQLite takes the file for one that never changes;
    such a connection is not held.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / layout.CATALOG
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._key: tuple[int, ...] = ()

    @contextmanager
    def reading(self) -> Iterator[Asked]:
        """Raises as :func:`connect_read_only`."""
        # Those to a server are held already, by all who ask it.
        if layout.is_elsewhere(self._path.parent) or not os.access(self._path.parent, os.W_OK):
            with connect_read_only(self._path.parent) as connection:
                yield connection
            return
        with self._lock:
            key = self._look()
            if self._connection is None or key != self._key:
                self._let_go()
                with _told(self._path):
                    self._connection, self._key = open_catalog(self._path), key
            try:
                with _told(self._path):
                    yield self._connection
            except ImseekError:
                self._let_go()
                raise

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def __del__(self) -> None:
        # Many readers are dropped without being closed, and Python's connections are in cycles: they would wait for the
        # garbage collector, with SQLite's files beside the catalog.
        self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None and self._key[:1] == (os.getpid(),):
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return (os.getpid(),)
        return os.getpid(), found.st_dev, found.st_ino
