"""Writer lock of a collection that several hosts share: a server's advisory lock, owned by one session.

It only tells a second writer at once that there is a first one. A writer may lose the lock without knowing (its session
was ended, its host suspended). The catalog is protected from it because every write transaction locks one row and
checks there that its run is still the current one (:meth:`Writer.transaction`).
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imseek.data import layout
from imseek.data.catalog.postgres.address import read_address
from imseek.data.catalog.postgres.catalog_reader import borrow_connection
from imseek.data.catalog.postgres.connection import connect, is_alive
from imseek.data.catalog.postgres.driver import driver
from imseek.data.catalog.running_writer import check_in_place, locked_error
from imseek.data.files.write_check import check_writable

if TYPE_CHECKING:
    import psycopg

#: The session of a writer killed a moment ago remains until the server notices.
_WAIT_SECONDS = 1.0
_PAUSE = 0.05


class PostgresLock:
    """A writer lock on the server, a :class:`imseek.data.catalog.backend.Lock`."""

    def __init__(self, root: Path) -> None:
        check_writable(root, any_file_system=True)
        self._root = root
        self._address = read_address(root)
        self._session: psycopg.Connection[tuple[Any, ...]] | None = None
        self._pid = 0

    def acquire(self) -> None:
        """Acquire the lock. Raises LockedError, naming the process, while another writer works; StorageError."""
        self._take()
        self._folder = (self._root / layout.COLLECTION).stat()

    def check(self) -> None:
        """Take the lock again where its session has ended, as after a server restart.

        Raises LockedError where another writer has it now, and StorageError where the folder was moved or replaced.
        """
        check_in_place(self._root, layout.COLLECTION, self._folder)
        if self._session is None or not is_alive(self._session):
            self.release()
            self._take()

    def release(self) -> None:
        if self._session is not None and self._pid == os.getpid():
            with contextlib.suppress(driver().Error):
                # The server may notice the end of a session only after another writer asks.
                self._session.execute("SELECT pg_advisory_unlock(%s)", (self._address.key,))
            self._session.close()
        self._session = None

    def _take(self) -> None:
        session = connect(self._address, writing=True)
        deadline = time.monotonic() + _WAIT_SECONDS
        try:
            while not self._try(session):
                if time.monotonic() > deadline:
                    raise locked_error(self._root, borrow_connection(self._root))
                time.sleep(_PAUSE)
        except BaseException:
            session.close()
            raise
        self._session, self._pid = session, os.getpid()

    def _try(self, session: psycopg.Connection[tuple[Any, ...]]) -> bool:
        from imseek.data.catalog.postgres.errors import storage_error

        try:
            row = session.execute("SELECT pg_try_advisory_lock(%s)", (self._address.key,)).fetchone()
        except driver().Error as error:
            raise storage_error(error, str(self._address), writing=True) from error
        return row is not None and bool(row[0])
