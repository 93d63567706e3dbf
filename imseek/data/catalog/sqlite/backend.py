"""The backend of a catalog that is a file of its collection: ``catalog.sqlite``."""

from __future__ import annotations

import os
import sqlite3
import uuid as uuids
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imseek.data import layout
from imseek.data.catalog.sqlite import catalog_file, word_index
from imseek.data.catalog.sqlite.lock import WriterLock, is_file_locked
from imseek.data.files.checksummed_json import read_checksummed
from imseek.data.user_files.safe_path import stat_key
from imseek.errors import CorruptCollectionError, repair_command

if TYPE_CHECKING:
    from imseek.data.catalog.sql import Connection, ReadConnection
    from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
    from imseek.data.collection_records import Identity
    from imseek.data.files.durable_files import FileDigest

T = TypeVar("T")


class SqliteBackend:
    """A :class:`imseek.data.catalog.backend.CatalogBackend` over SQLite."""

    is_file = True
    address = None

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / layout.CATALOG
        self._current = root / layout.CURRENT

    # -- reading ---------------------------------------------------------------------------------------

    def connect(self) -> AbstractContextManager[sqlite3.Connection]:
        return catalog_file.connect_file(self._root)

    def open_for_reading(self) -> sqlite3.Connection:
        return catalog_file.open_catalog(self._path)

    def translate_errors(self) -> AbstractContextManager[None]:
        return catalog_file.translate_sqlite_errors(self._path)

    def reuse_key(self) -> tuple[int, ...] | None:
        """Return process, device and inode; None in a read-only folder, where SQLite treats the file as immutable."""
        if not os.access(self._root, os.W_OK):
            return None
        try:
            info = os.stat(self._path)
        except OSError:
            return (os.getpid(),)
        return os.getpid(), info.st_dev, info.st_ino

    @contextmanager
    def freeze(self) -> Iterator[Connection]:
        """Connect to a copy in memory."""
        with self.connect() as source:
            copy = catalog_file.open_copy(source)  # As a writer would migrate it.
        with closing(copy):
            yield copy

    # -- words -----------------------------------------------------------------------------------------

    word_index = word_index.SqliteWordIndex()

    def can_search_words(self, connection: ReadConnection) -> bool:
        """Whether this SQLite has FTS5."""
        return word_index.can_search(connection)

    # -- generations -----------------------------------------------------------------------------------

    def read_current_document(self) -> dict[str, Any]:
        return read_checksummed(self._root, layout.CURRENT)

    def read_generation_stamp(self) -> tuple[int | str, ...] | None:
        try:
            facts = os.stat(self._current, follow_symlinks=False)
        except OSError:
            return None
        return stat_key(facts)  # A commit replaces the file.

    def read_run_stamp(self) -> tuple[int, ...] | None:
        """Return a stamp of the checksums, which each run rewrites."""
        try:
            info = (self._root / layout.CHECKSUMS).stat()
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_mtime_ns

    # -- writing ---------------------------------------------------------------------------------------

    def lock(self) -> WriterLock:
        return WriterLock(self._root)

    def is_locked(self) -> bool:
        return is_file_locked(self._root)

    def open_for_writing(self, uuid: str) -> SqliteCatalog:
        from imseek.data.catalog.sqlite import catalog_checksums
        from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
        from imseek.data.files import durable_files

        if not self._path.exists():
            raise self._corrupt(f"{self._path} is missing")
        catalog_file.check_version(self._path)
        staging = self._root / layout.STAGING
        durable_files.recreate_folder(staging)
        checksums = catalog_checksums.verify_and_revoke(self._root, staging, uuid)
        return SqliteCatalog(self._root, checksums)

    def create(self, places: str, fill: Callable[[Connection, Identity], None]) -> Identity:
        from imseek.data.catalog.catalog_writer import current_of, now
        from imseek.data.catalog.sqlite import catalog_checksums
        from imseek.data.catalog.sqlite.catalog_checksums import Checksums
        from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
        from imseek.data.collection_records import Identity, encode_record, write_identity
        from imseek.data.files import durable_files

        root, staging = self._root, self._root / layout.STAGING
        durable_files.recreate_folder(staging)
        identity = Identity(uuid=str(uuids.uuid4()), created=now(), places=places)
        with closing(SqliteCatalog(root)) as catalog, catalog.transaction() as connection:
            fill(connection, identity)
            current = current_of(connection)
        ended = Checksums(identity.uuid, {layout.CATALOG: catalog_checksums.digest_catalog(root)})
        contents = {
            root / layout.CHECKSUMS: catalog_checksums.encode_checksums(ended),
            root / layout.CURRENT: encode_record(current),
        }
        durable_files.write_files(contents, staging=staging)
        write_identity(root, identity, staging)
        return identity

    def copy_to(self, folder: Path, uuid: str, open_files: Callable[[Sequence[Any], int], T]) -> T:
        """Copy the file with SQLite's backup API, after comparing it with its recorded checksum."""
        from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
        from imseek.data.catalog.sqlite.errors import storage_error
        from imseek.data.collection_records import FOREVER

        target = folder / layout.CATALOG
        expected = self._recorded_digest()
        is_sound = expected is None or catalog_checksums.digest_catalog(self._root) == expected
        if not is_sound and self._recorded_digest() == expected:  # Otherwise a writer has started in between.
            raise self._corrupt(f"{self._path} differs from what the last writer saved")
        try:
            with closing(catalog_file.open_catalog(self._path)) as catalog:
                catalog.execute("BEGIN")
                row = catalog.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
                generation = -1 if row is None else int(row[0])
                files = catalog.execute("SELECT path, kind, size FROM files WHERE died = ?", (FOREVER,))
                handles = open_files(files.fetchall(), generation)
                with _translate_full_disk(target):
                    catalog_backups.copy_connection(catalog, target)
        except sqlite3.DatabaseError as error:
            raise storage_error(error, self._path) from error
        # A matching checksum makes SQLite's integrity check unnecessary.
        is_verified = expected is not None and is_sound and self._recorded_digest() == expected
        if catalog_backups.uuid_of(target) != uuid or not (is_verified or catalog_backups.is_usable(target, uuid)):
            raise self._corrupt(f"{self._path} is damaged or belongs to another collection")
        return handles

    def _recorded_digest(self) -> FileDigest | None:
        from imseek.data.catalog.sqlite import catalog_checksums

        try:
            return catalog_checksums.read(self._root).files.get(layout.CATALOG)
        except CorruptCollectionError:
            return None

    def _corrupt(self, message: str) -> CorruptCollectionError:
        return CorruptCollectionError(message, hint=repair_command(self._root))


@contextmanager
def _translate_full_disk(target: Path) -> Iterator[None]:
    """Attribute a full disk to the copy. Raises StorageError."""
    from imseek.data.catalog.sqlite.errors import storage_error

    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise storage_error(error, target, writing=True) from error
        raise
