"""The backend of a catalog that is on a PostgreSQL server."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imseek.data import layout
from imseek.data.catalog.postgres import catalog_reader, word_match_sql
from imseek.data.catalog.postgres.address import Address, check_url, read_address, write_address
from imseek.data.catalog.postgres.catalog_reader import PostgresConnection
from imseek.data.catalog.postgres.lock import PostgresLock
from imseek.data.collection_records import FOREVER, Identity
from imseek.errors import CorruptCollectionError, ImseekError

if TYPE_CHECKING:
    from imseek.data.catalog.postgres.catalog_writer import PostgresCatalog
    from imseek.data.catalog.sql import Connection, ReadConnection

T = TypeVar("T")


class PostgresBackend:
    """A :class:`imseek.data.catalog.backend.CatalogBackend` over PostgreSQL.

    ``url`` is the database of a collection that does not exist yet; others record their own.
    """

    is_file = False

    def __init__(self, root: Path, url: str | None = None) -> None:
        self._root = root
        self._url = None if url is None else check_url(url)

    @property
    def address(self) -> str:
        return read_address(self._root).url if self._url is None else self._url

    # -- reading ---------------------------------------------------------------------------------------

    def connect(self) -> AbstractContextManager[PostgresConnection]:
        return catalog_reader.borrow_connection(self._root)

    def open_for_reading(self) -> PostgresConnection:
        return catalog_reader.open_connection(self._root)

    def translate_errors(self) -> AbstractContextManager[None]:
        return catalog_reader.translate_errors(self._root)

    def reuse_key(self) -> None:
        """Return None: connections come from a pool."""

    def freeze(self) -> AbstractContextManager[Connection]:
        """Open a transaction with repeatable reads."""
        from imseek.data.catalog.postgres.catalog_writer import connect_repeatable_read

        return connect_repeatable_read(self._root)

    # -- words -----------------------------------------------------------------------------------------

    word_index = word_match_sql.PostgresWordIndex()

    def can_search_words(self, connection: ReadConnection) -> bool:
        """Return True: PostgreSQL keeps the index with the table."""
        return True

    # -- generations -----------------------------------------------------------------------------------

    def read_current_document(self) -> dict[str, Any]:
        return catalog_reader.read_current_document(self._root)

    def read_generation_stamp(self) -> tuple[int | str, ...]:
        return catalog_reader.read_generation_stamp(self._root)

    def read_run_stamp(self) -> tuple[int, ...]:
        """Return the number of the latest run."""
        with self.connect() as connection:
            row = connection.execute("SELECT run_id FROM runs ORDER BY run_id DESC LIMIT 1").fetchone()
        return () if row is None else (int(row[0]),)

    # -- writing ---------------------------------------------------------------------------------------

    def lock(self) -> PostgresLock:
        return PostgresLock(self._root)

    def is_locked(self) -> bool:
        """Whether a writer is active now, on any host."""
        return catalog_reader.is_locked(self._root)

    def open_for_writing(self, uuid: str) -> PostgresCatalog:
        from imseek.data.catalog.postgres.catalog_writer import PostgresCatalog
        from imseek.data.files import durable_files

        catalog = PostgresCatalog(self._root)
        durable_files.recreate_folder(self._root / layout.STAGING)
        return catalog

    def create(self, places: str, fill: Callable[[Connection, Identity], None]) -> Identity:
        """Create a schema in the database. A killed creation leaves it there, empty."""
        from imseek.data.catalog.catalog_writer import now
        from imseek.data.catalog.postgres.allowed_servers import allow_or_revoke
        from imseek.data.collection_records import Identity

        identity = Identity(str(uuids.uuid4()), now(), places, layout.FORMAT_SERVER_CATALOG)
        address = Address(identity.uuid, self.address, self._root)
        with allow_or_revoke(address):  # The user has named it.
            self._create(identity, address, fill)
        return identity

    def _create(self, identity: Identity, address: Address, fill: Callable[[Connection, Identity], None]) -> None:
        from imseek.data.catalog.catalog_writer import current_of
        from imseek.data.catalog.postgres.catalog_writer import PostgresCatalog, drop_schema, make_schema
        from imseek.data.collection_records import write_identity
        from imseek.data.files import durable_files

        root, staging = self._root, self._root / layout.STAGING
        make_schema(address)
        try:
            durable_files.recreate_folder(staging)
            with (
                closing(PostgresCatalog(root, address, fresh=True)) as catalog,
                catalog.transaction() as connection,
            ):
                fill(connection, identity)
                catalog.record_current(connection, current_of(connection))
            write_address(root, address, staging)
            write_identity(root, identity, staging)
        except BaseException:
            with suppress(ImseekError):
                drop_schema(address)
            raise

    def copy_to(self, folder: Path, uuid: str, open_files: Callable[[Sequence[Any], int], T]) -> T:
        """Copy the rows, as of one moment."""
        from imseek.data.catalog.catalog_writer import get_meta
        from imseek.data.catalog.postgres.catalog_copy import copy_rows
        from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog

        with self.freeze() as connection, closing(SqliteCatalog(folder)) as target:
            if get_meta(connection, "uuid") != uuid:
                raise CorruptCollectionError(f"the catalog of {self._root} belongs to another collection")
            query = "SELECT path, kind, size FROM files WHERE died = ?"
            files = connection.execute(query, (FOREVER,)).fetchall()
            handles = open_files(files, int(get_meta(connection, "generation")))
            with target.transaction() as target_connection:
                copy_rows(connection, target_connection)
        return handles
