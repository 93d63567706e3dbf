"""Read a catalog on PostgreSQL with the same SQL as one in SQLite.

A few connections stay open for reuse, since most queries take less time than a new session. An idle connection holds no
transaction, and one that its server has closed is not reused.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imseek.data import layout
from imseek.data.catalog.migrations import refuse_newer_version
from imseek.data.catalog.postgres.address import Address, read_address
from imseek.data.catalog.postgres.connection import connect, is_alive
from imseek.data.catalog.postgres.driver import driver
from imseek.data.catalog.postgres.errors import is_programming_error, storage_error
from imseek.data.files.checksummed_json import parse_checksummed
from imseek.errors import CorruptCollectionError

if TYPE_CHECKING:
    import psycopg

#: Name in ``meta`` of the document that a SQLite collection has in ``current.json``.
CURRENT = "current"

#: Maximum idle connections, over all catalogs: a server allows a hundred or so for all clients.
_MAX_IDLE = 4


class PostgresConnection:
    """A connection with the ``execute`` of :mod:`sqlite3`, as :class:`imseek.data.catalog.sql.Connection`."""

    dialect: Final = "postgresql"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection

    def execute(self, query: str, values: Sequence[Any] | Mapping[str, Any] = (), /) -> Any:
        return self.connection.execute(_to_psycopg_sql(query).encode(), values)

    def executemany(self, query: str, rows: Iterable[Any], /) -> Any:
        cursor = self.connection.cursor()
        cursor.executemany(_to_psycopg_sql(query).encode(), rows)
        return cursor

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.connection.info.transaction_status != driver().pq.TransactionStatus.IDLE:
            raise RuntimeError("a transaction inside another")
        with self.connection.transaction():
            yield

    def close(self) -> None:
        self.connection.close()


@lru_cache(maxsize=256)
def _to_psycopg_sql(query: str) -> str:
    """Convert ``?`` and ``:name`` to psycopg's placeholders. No query of ours has either in a literal."""
    query = query.replace("%", "%%").replace("?", "%s")
    return re.sub(r"(?<![:\w]):([a-z_]\w*)", r"%(\1)s", query)


class _ConnectionPool:
    """Idle connections of this process, the most recently used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._idle: list[tuple[Address, psycopg.Connection[tuple[Any, ...]]]] = []
        atexit.register(self.close)

    def take(self, address: Address) -> psycopg.Connection[tuple[Any, ...]]:
        with self._lock:
            self._forget_parent_connections()
            for n in reversed(range(len(self._idle))):
                if self._idle[n][0] == address:
                    _, connection = self._idle.pop(n)
                    if is_alive(connection):
                        return connection
                    connection.close()
        return connect(address)

    def give_back(self, address: Address, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with self._lock:
            self._forget_parent_connections()
            self._idle.append((address, connection))
            if len(self._idle) > _MAX_IDLE:
                self._idle.pop(0)[1].close()

    def close(self) -> None:
        with self._lock:
            self._forget_parent_connections()
            for _, connection in self._idle:
                connection.close()
            self._idle.clear()

    def _forget_parent_connections(self) -> None:
        """Drop connections inherited from a parent process: psycopg does not close those."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._idle.clear()


@cache
def _connection_pool() -> _ConnectionPool:
    return _ConnectionPool()


@contextmanager
def borrow_connection(root: Path) -> Iterator[PostgresConnection]:
    """Borrow a read-only connection to the catalog of the collection at ``root`` for the body of the ``with``.

    Each query sees what is committed when it begins. Raises CorruptCollectionError, FormatVersionError, StorageError,
    MissingExtraError.
    """
    address = read_address(root)
    pool = _connection_pool()
    connection = pool.take(address)
    try:
        with translate_errors(root):
            yield PostgresConnection(connection)
    except BaseException:
        connection.close()
        raise
    pool.give_back(address, connection)


def open_connection(root: Path) -> PostgresConnection:
    """Open a connection as :func:`borrow_connection` does, which the caller closes."""
    return PostgresConnection(connect(read_address(root)))


@contextmanager
def translate_errors(root: Path) -> Iterator[None]:
    """Context manager that translates psycopg's errors into ours."""
    try:
        yield
    except driver().Error as error:
        if is_programming_error(error):
            raise
        address = read_address(root)
        translated = storage_error(error, str(address))
        if isinstance(translated, CorruptCollectionError):
            check_version(address)
        raise translated from error


def check_version(address: Address) -> None:
    """Raise FormatVersionError for a catalog of a later imseek."""
    connection = connect(address)
    try:
        row = connection.execute("SELECT COUNT(*) FROM migrations").fetchone()
    except driver().Error:
        return  # There is no such table.
    finally:
        connection.close()
    refuse_newer_version(0 if row is None else row[0])


def read_current_document(root: Path) -> dict[str, Any]:
    """Read the ``current.json`` document of the newest generation. Raises as :func:`borrow_connection`."""
    return parse_checksummed(root, f"{layout.ADDRESS} (its catalog)", _meta(root, CURRENT).encode())


def read_generation_stamp(root: Path) -> tuple[int | str, ...]:
    """Return a stamp that differs between generations and collections. Raises as :func:`borrow_connection`."""
    return read_address(root).uuid, int(_meta(root, "generation"))


def _meta(root: Path, name: str) -> str:
    with borrow_connection(root) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise CorruptCollectionError(f"the catalog at {read_address(root)} has no {name}")
    return str(row[0])


def is_locked(root: Path) -> bool:
    """Whether a writer is active now, on any host. Raises as :func:`borrow_connection`."""
    query = (
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND ((classid::bigint << 32) | objid::bigint) = ?"
    )
    with borrow_connection(root) as connection:
        return connection.execute(query, (read_address(root).key,)).fetchone() is not None
