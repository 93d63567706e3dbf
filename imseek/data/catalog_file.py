"""Open the catalog's SQLite file, for reading without SQLAlchemy or for a writer.

A catalog may come from somebody else. So before anything is asked of it, or written to it: it and the files that SQLite
keeps beside it are regular files, there is no rollback journal (which can have SQLite delete a file that it names), and
its schema is, statement by statement, one that imseek makes. That leaves no trigger, view, virtual table or computed
column that would run something of its maker's. What a query may cost is bounded by the size of the file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from imseek.data import layout
from imseek.data.collection_files import HARD_LINK, kind_of, not_ours, permissions
from imseek.data.sqlite_errors import storage_error
from imseek.errors import CorruptCollectionError, ImseekError

#: What SQLite says where there is no room for the file through which it shares memory with writers.
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN)

#: Bytes of the longest value in a catalog. SQLite would take a thousand million.
_MAX_VALUE = 1 << 26
#: Steps of SQLite's virtual machine that one statement may take, at least and for each byte of the catalog: reading all
#: of it and sorting it takes about two a byte. A second has some fifty million.
_STEPS, _STEPS_PER_BYTE = 50_000_000, 20
#: Steps between two looks at how many there were.
_STRIDE = 1_000_000


class _Meter:
    """Ends a statement that takes more steps than one on a catalog of its size can need.

    The size is that of the catalog at ``path`` with its log: a writer starts with an empty one, and may add millions
    of rows before it looks at all of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._budget = self._allowed()
        self._used = 0

    def restart(self) -> None:
        self._used = 0

    def is_over(self) -> bool:
        """SQLite calls it once in ``_STRIDE`` steps, and ends the statement where it is true."""
        self._used += 1
        if self._used > self._budget:  # It may have grown since.
            self._budget = self._allowed()
        return self._used > self._budget

    def _allowed(self) -> int:
        size = 0
        for name in (self._path, f"{self._path}-wal"):
            with suppress(OSError):
                size += os.stat(name, follow_symlinks=False).st_size
        return (_STEPS + _STEPS_PER_BYTE * size) // _STRIDE


class CatalogCursor(sqlite3.Cursor):
    """A cursor each of whose statements has a budget of its own."""

    connection: CatalogConnection

    def execute(self, query: str, values: Any = (), /) -> CatalogCursor:
        self.connection.meter.restart()
        return super().execute(query, values)

    def executemany(self, query: str, values: Any, /) -> CatalogCursor:
        self.connection.meter.restart()
        return super().executemany(query, values)


class CatalogConnection(sqlite3.Connection):
    """A connection to a catalog that may be hostile: made by :func:`open_catalog` or :func:`open_for_writing`."""

    meter: _Meter

    def guard(self, path: Path) -> None:
        """Bound what statements and values on the catalog at ``path`` may cost."""
        self.meter = _Meter(path)
        self.set_progress_handler(self.meter.is_over, _STRIDE)
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        # Through the base class, since the meter counts for queries only.
        super().execute("PRAGMA trusted_schema = OFF")

    def cursor(self, factory: Any = CatalogCursor) -> Any:
        return super().cursor(factory)


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
        from imseek.data.postgres import catalog_reader

        with catalog_reader.asking(root) as asked:
            yield asked
        return
    with connect_file(root) as connection:
        yield connection


@contextmanager
def connect_file(root: Path) -> Iterator[sqlite3.Connection]:
    """As :func:`connect_read_only`, for queries that only SQLite answers."""
    path = root / layout.CATALOG
    with _told(path), closing(open_catalog(path)) as connection:
        yield connection


def open_reading(root: Path) -> Asked:
    """Open a connection for reading, for one thread at a time. The caller closes it; :func:`told` translates errors."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres import catalog_reader

        return catalog_reader.opened(root)
    return open_catalog(root / layout.CATALOG)


def told(root: Path) -> AbstractContextManager[None]:
    """What the catalog of a collection raises, as our own errors: as :func:`connect_read_only`."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres import catalog_reader

        return catalog_reader.told(root)
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


def open_catalog(path: Path) -> CatalogConnection:
    """A connection for reading a catalog or a copy of one; one thread at a time may use it.

    Raises CorruptCollectionError where :func:`check_files` refuses it or its schema is not one that imseek makes.

    Where SQLite cannot make the files that it shares with writers, since the folder cannot be written or the disk is
    full, there is no writer either. Then it is opened immutable. That passes over a write-ahead log; so where a dead
    writer left one with content, SQLite is told that it has the catalog to itself, and keeps the index of the log in
    memory.
    """
    check_files(path)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connect = partial(_connect, path, uri=True)
    wal, shared = (path.with_name(path.name + ending) for ending in ("-wal", "-shm"))
    folded = not wal.exists() or wal.stat().st_size == 0
    if os.access(path.parent, os.W_OK) or (shared.exists() and not folded):
        connection = connect(uri)
        try:
            return _checked(connection, path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _NO_SHARED_MEMORY:
                raise
    if folded:
        return _checked(connect(f"{uri}&immutable=1"), path)
    connection = connect(f"{uri}&vfs=unix-none")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return _checked(connection, path)


def open_for_writing(path: Path, timeout: float) -> CatalogConnection:
    """A connection of a writer, in WAL mode with ``synchronous=FULL``; a catalog that is not there is made.

    Raises as :func:`open_catalog`, and FormatVersionError for a catalog of a later imseek.
    """
    check_files(path)
    _make(path)
    connection = _checked(_connect(path, path, timeout=timeout), path, writing=True)
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def check_files(path: Path) -> None:
    """Refuse a catalog that is no regular file, whose companions are none, or that has a rollback journal.

    Raises CorruptCollectionError.

    A catalog has a write-ahead log. A journal's last bytes name a file that SQLite deletes when it has played the
    journal back (sqlite.org/fileformat2.html, "The Rollback Journal").
    """
    for ending in ("", "-journal", "-wal", "-shm"):
        try:
            info = os.lstat(f"{path}{ending}")
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            return
        if not stat.S_ISREG(info.st_mode):
            raise not_ours(path.parent, path.name + ending, kind_of(info))
        if ending in ("-wal", "-shm") and info.st_nlink > 1:
            raise not_ours(path.parent, path.name + ending, HARD_LINK)  # Reading writes to them too.
        if ending == "-journal" and info.st_size:
            raise CorruptCollectionError(
                f"{path}{ending} lies beside the catalog, which never has a rollback journal",
                hint=f"imseek collection repair {path.parent}",
            )


def _make(path: Path) -> None:
    """An empty file with the permissions of its folder, where there is none: SQLite would go by the umask."""
    with suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            os.fchmod(fd, permissions(path.parent))
        finally:
            os.close(fd)


def _connect(
    path: Path, database: str | Path, *, uri: bool = False, timeout: float = 10
) -> CatalogConnection:
    connection = sqlite3.connect(
        database, timeout=timeout, uri=uri, check_same_thread=False, factory=CatalogConnection
    )
    try:
        connection.guard(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _checked(connection: CatalogConnection, path: Path, *, writing: bool = False) -> CatalogConnection:
    """The connection, once its schema has been read and compared; closed where it is not one of imseek's."""
    from imseek.data.migrations import check_schema

    try:
        check_schema(connection, path, writing=writing)
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):  # SQLite names what is wrong in the bytes it has there.
            raise sqlite3.DatabaseError("malformed database schema") from error
        raise
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
