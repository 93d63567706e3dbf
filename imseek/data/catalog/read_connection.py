"""Connect to a collection's catalog for reading, wherever it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from imseek.data.catalog.backend import CatalogBackend, backend_of
from imseek.data.catalog.sql import ReadConnection
from imseek.errors import ImseekError


def connect_read_only(root: Path) -> AbstractContextManager[ReadConnection]:
    """Open a read-only connection to the catalog for queries in the body of the ``with``.

    Raises as :meth:`imseek.data.catalog.backend.CatalogBackend.connect`.
    """
    return backend_of(root).connect()


def read_meta(connection: ReadConnection, name: str) -> str | None:
    """Return the value that the catalog records under a name; None where there is none."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


class CachedConnection:
    """A reusable read-only connection, for one thread at a time.

    It keeps no transaction open, so it never blocks a writer. It reconnects where the catalog file was replaced (by a
    repair) or the process forked. Where the backend allows no reuse, each query has a connection of its own.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._backend: CatalogBackend | None = None
        self._lock = threading.Lock()
        self._connection: ReadConnection | None = None
        self._key: tuple[int, ...] = ()

    @contextmanager
    def reading(self) -> Iterator[ReadConnection]:
        """Lend the connection for queries in the body of the ``with``. Raises as :func:`connect_read_only`."""
        self._backend = backend = backend_of(self._root)
        key = backend.reuse_key()
        if key is None:
            with backend.connect() as connection:
                yield connection
            return
        with self._lock:
            if self._connection is None or key != self._key:
                self._let_go()
                self._connection = self._open(backend)
                self._key = key
            try:
                with backend.translate_errors():
                    yield self._connection
            except ImseekError:
                self._let_go()
                raise

    @property
    def backend(self) -> CatalogBackend:
        """The backend of the connection that is lent now, or was lent last."""
        return self._backend or backend_of(self._root)

    @staticmethod
    def _open(backend: CatalogBackend) -> ReadConnection:
        with backend.translate_errors():
            return backend.open_for_reading()

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def __del__(self) -> None:
        # Many readers are dropped without being closed, and Python's connections are in reference cycles: they would
        # keep SQLite's files open until the garbage collector runs.
        self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None and self._key[:1] == (os.getpid(),):
            with suppress(Exception):  # It may be broken.
                self._connection.close()
        self._connection = None
