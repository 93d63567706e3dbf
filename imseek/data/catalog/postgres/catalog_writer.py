"""The writer's connection to a catalog on PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DatabaseError

from imseek.data.catalog.catalog_writer import Catalog, set_meta
from imseek.data.catalog.migrations import count_applied, migrate
from imseek.data.catalog.postgres.address import Address, read_address
from imseek.data.catalog.postgres.catalog_reader import CURRENT, PostgresConnection, check_version
from imseek.data.catalog.postgres.connection import connect
from imseek.data.catalog.postgres.driver import driver
from imseek.data.catalog.postgres.errors import is_programming_error, storage_error
from imseek.data.catalog.reflected_tables import find_difference, load_tables
from imseek.data.catalog.sql import Connection
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
        self._engine = _open_engine(lambda: connect(self.address, writing=True))
        try:
            with self._connected() as connection:
                if not fresh and not count_applied(connection):
                    raise CorruptCollectionError(
                        f"there is no catalog at {self.address}",
                        hint="check the database name, or restore it with pg_restore",
                    )
                migrate(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Implement :meth:`Catalog.transaction`. Other writers wait up to ten seconds for this one's row lock."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT value FROM meta WHERE name = 'generation' FOR UPDATE")
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
        """Do nothing: PostgreSQL checks its pages itself."""

    def scrub(self) -> tuple[str, ...]:
        """Rewrite the tables, so that deleted data remains in none of their pages.

        The server's write-ahead log, standbys and backups are out of our control. Each table in turn is locked for
        readers.
        """
        with self._connected() as connection:
            for table in load_tables().tables:
                connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
        return ("the tables of the catalog are written anew; the log and the backups of its server are not ours",)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[PostgresConnection]:
        """Lend the connection, replaced if it broke."""
        with (
            _translate_errors(self.address, writing=True),
            contextlib.closing(self._engine.raw_connection()) as lent,  # Closing gives it back.
        ):
            yield PostgresConnection(cast("psycopg.Connection[tuple[Any, ...]]", lent.driver_connection))


def _open_engine(connect_: Callable[[], psycopg.Connection[tuple[Any, ...]]]) -> Engine:
    """Create an engine with one connection, since write transactions do not nest; a broken one is replaced.

    Its connections are in autocommit mode: :meth:`PostgresConnection.transaction` begins and ends transactions.
    """
    return create_engine(
        "postgresql+psycopg://",
        creator=connect_,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0,
        pool_pre_ping=True,
        pool_reset_on_return=None,  # There is nothing to roll back, and on a broken connection it would complain.
        use_native_hstore=False,
    )


@contextlib.contextmanager
def _translate_errors(address: Address, *, writing: bool) -> Iterator[None]:
    try:
        yield
    except (driver().Error, DatabaseError) as error:
        cause = (error.orig or error) if isinstance(error, DatabaseError) else error
        if is_programming_error(cause):
            raise
        raise storage_error(cause, str(address), writing=writing) from error


@contextlib.contextmanager
def connect_repeatable_read(root: Path) -> Iterator[Connection]:
    """Open a read connection that sees the catalog as of one moment. It does not block writers.

    Raises FormatVersionError for a catalog of a later imseek, StorageError, MissingExtraError.
    """
    address = read_address(root)
    check_version(address)
    with _translate_errors(address, writing=False), contextlib.closing(connect(address)) as session:
        session.isolation_level = driver().IsolationLevel.REPEATABLE_READ
        connection = PostgresConnection(session)
        with connection.transaction():
            yield connection


def find_schema_fault(root: Path) -> str | None:
    """Describe the first table or column that differs from what migrations make; None where there is none.

    Raises as :func:`connect_repeatable_read`.
    """
    address = read_address(root)
    check_version(address)
    engine = _open_engine(lambda: connect(address))
    try:
        with _translate_errors(address, writing=False), engine.connect() as connection:
            (version,) = connection.exec_driver_sql("SELECT COUNT(*) FROM migrations").one()
            return find_difference(connection, version)
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
