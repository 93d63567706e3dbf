"""Connect to a collection's catalog for reading, wherever it is: in a SQLite file or on a PostgreSQL server."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from imseek.data import layout
from imseek.data.catalog import catalog_file
from imseek.errors import ImseekError


class QueryResult(Protocol):
    """The result of a query, as cursors provide it."""

    @property
    def description(self) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchmany(self, size: int = ..., /) -> list[Any]: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class ReadConnection(Protocol):
    """A connection for reading: one of :mod:`sqlite3`, or one to a server that accepts the same SQL."""

    def execute(self, query: str, values: Any = ..., /) -> QueryResult: ...

    def close(self) -> None: ...


def address_of(root: Path) -> str | None:
    """Return the URL of the database that holds the catalog, None where it is a file."""
    if not layout.has_server_catalog(root):
        return None
    from imseek.data.catalog.postgres.address import read_address

    return read_address(root).url


@contextmanager
def connect_read_only(root: Path) -> Iterator[ReadConnection]:
    """Open a read-only connection to the catalog for queries in the body of the ``with``.

    Raises CorruptCollectionError where SQLite cannot read it, LockedError or StorageError where it cannot be read now,
    and FormatVersionError where a later imseek changed what the query needs.
    """
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres import catalog_reader

        with catalog_reader.borrow_connection(root) as session:
            yield session
        return
    with catalog_file.connect_file(root) as connection:
        yield connection


def open_for_reading(root: Path) -> ReadConnection:
    """Open a connection for reading by one thread at a time. The caller closes it; :func:`translate_errors` translates
    errors."""
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres import catalog_reader

        return catalog_reader.open_connection(root)
    return catalog_file.open_catalog(root / layout.CATALOG)


def translate_errors(root: Path) -> AbstractContextManager[None]:
    """Context manager that translates the catalog's errors into ours; raises as :func:`connect_read_only`."""
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres import catalog_reader

        return catalog_reader.translate_errors(root)
    return catalog_file.translate_sqlite_errors(root / layout.CATALOG)


class CachedConnection:
    """A reusable read-only connection, for one thread at a time.

    It keeps no transaction open, so it never blocks a writer. It reconnects where the catalog file was replaced (by a
    repair) or the process forked. In a read-only folder SQLite treats the file as immutable, so such a connection is
    not reused.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / layout.CATALOG
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._key: tuple[int, ...] = ()

    @contextmanager
    def reading(self) -> Iterator[ReadConnection]:
        """Lend the connection for queries in the body of the ``with``. Raises as :func:`connect_read_only`."""
        # Connections to a server come from a shared pool.
        if layout.has_server_catalog(self._path.parent) or not os.access(self._path.parent, os.W_OK):
            with connect_read_only(self._path.parent) as connection:
                yield connection
            return
        with self._lock:
            key = self._look()
            if self._connection is None or key != self._key:
                self._let_go()
                with catalog_file.translate_sqlite_errors(self._path):
                    self._connection, self._key = catalog_file.open_catalog(self._path), key
            try:
                with catalog_file.translate_sqlite_errors(self._path):
                    yield self._connection
            except ImseekError:
                self._let_go()
                raise

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def __del__(self) -> None:
        # Many readers are dropped without being closed, and Python's connections are in reference cycles: they would
        # keep SQLite's files open until the garbage collector runs.
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
