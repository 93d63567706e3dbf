"""The writer's connection to a catalog on PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.exc import DatabaseError

from imseek.data.catalog import schema as t
from imseek.data.catalog.catalog import Catalog, set_meta
from imseek.data.catalog.migrations import count_applied, migrate
from imseek.data.catalog.postgres.address import Address, read_address
from imseek.data.catalog.postgres.catalog_reader import CURRENT, check_version
from imseek.data.catalog.postgres.connection import connect
from imseek.data.catalog.postgres.driver import driver
from imseek.data.catalog.postgres.errors import is_programming_error, storage_error
from imseek.data.collection_records import Current, encode_record
from imseek.errors import CorruptCollectionError, ReadOnlyError

if TYPE_CHECKING:
    import psycopg


class PostgresCatalog(Catalog):
    """A :class:`Catalog` on PostgreSQL, which reconnects for the next transaction where a connection broke.

    ``address`` overrides the one that the folder records; ``fresh`` allows a schema that is still empty.
    """

    takeover_hint = "try again when it has finished"

    def __init__(self, root: Path, address: Address | None = None, *, fresh: bool = False) -> None:
        self.root = root
        self.address = read_address(root) if address is None else address
        driver()
        self.engine = _engine(lambda: connect(self.address, writing=True))
        try:
            with self._translated():
                if not fresh and not count_applied(self.engine):
                    raise CorruptCollectionError(
                        f"there is no catalog at {self.address}",
                        hint="check the database name, or restore it with pg_restore",
                    )
                migrate(self.engine)
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        self.engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As :class:`Catalog` says. Other writers wait up to ten seconds for this one's row lock."""
        generation = select(t.meta.c.value).where(t.meta.c.name == "generation").with_for_update()
        with self._translated(), self.engine.begin() as connection:
            connection.execute(generation)
            yield connection

    def read_current(self) -> None:
        """Return None: only the catalog has it."""

    def record_current(self, connection: Connection, current: Current) -> None:
        set_meta(connection, CURRENT, encode_record(current).decode())

    def publish_current(self, current: Current) -> None:
        """Do nothing: the transaction has recorded it for readers."""

    def renew_backup(self, name: str) -> None:
        """Do nothing: backups are the server's."""

    def end_run(self, *, has_changed: bool) -> None:
        """Do nothing: the server vouches for its pages."""

    def scrub(self) -> tuple[str, ...]:
        """Rewrite the tables, so that deleted data remains in none of their pages.

        The server's write-ahead log, standbys and backups are out of our control. Each table in turn is locked for
        readers.
        """
        with self._translated(), self.engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in t.metadata.sorted_tables:
                alone.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table.name}")
        return ("the tables of the catalog are written anew; the log and the backups of its server are not ours",)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with _translate_errors(self.address, writing=True):
            yield


def _engine(connect_: Callable[[], psycopg.Connection[tuple[Any, ...]]]) -> Engine:
    """Create an engine with one connection, since write transactions do not nest; a broken one is replaced."""

    def connected() -> psycopg.Connection[tuple[Any, ...]]:
        connection = connect_()
        connection.autocommit = False  # SQLAlchemy's dialect manages transactions.
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=connected,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0,
        pool_pre_ping=True,
        use_native_hstore=False,
    )


@contextlib.contextmanager
def _translate_errors(address: Address, *, writing: bool) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if not isinstance(error.orig, driver().Error) or is_programming_error(error.orig):
            raise
        raise storage_error(error.orig, str(address), writing=writing) from error


@contextlib.contextmanager
def connect_repeatable_read(root: Path) -> Iterator[Connection]:
    """Open a read connection that sees the catalog as of one moment. It does not block writers.

    Raises FormatVersionError for a catalog of a later imseek, StorageError, MissingExtraError.
    """
    address = read_address(root)
    check_version(address)
    engine = _engine(lambda: connect(address))
    try:
        with _translate_errors(address, writing=False), engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ")
    finally:
        engine.dispose()


def make_schema(address: Address) -> None:
    """Create the catalog's schema. Raises ReadOnlyError where the role may not."""
    try:
        _execute(address, f'CREATE SCHEMA "{address.schema}"')
    except ReadOnlyError as error:
        raise ReadOnlyError(str(error), hint="GRANT CREATE ON DATABASE, to this role") from error


def drop_schema(address: Address) -> None:
    """Drop a catalog with all its content, if it exists."""
    _execute(address, f'DROP SCHEMA IF EXISTS "{address.schema}" CASCADE')


def _execute(address: Address, statement: str) -> None:
    connection = connect(address, writing=True)
    try:
        connection.execute(statement.encode())
    except driver().Error as error:
        raise storage_error(error, str(address), writing=True) from error
    finally:
        connection.close()
