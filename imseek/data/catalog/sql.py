"""Protocols of connections, and helpers for SQL, shared by readers and writers of the catalog.

Statements are the same for SQLite and PostgreSQL. A row is live while its ``died`` is
:data:`~imseek.data.collection_records.FOREVER`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, Final, Literal, Protocol

#: Values per statement, below SQLite's limit on variables in every build.
_CHUNK: Final = 500


class QueryResult(Protocol):
    """The result of a query, as cursors provide it."""

    @property
    def description(self) -> Any: ...

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchmany(self, size: int = ..., /) -> list[Any]: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class ReadConnection(Protocol):
    """A connection for reading: one of :mod:`sqlite3`, or one to a server that accepts the same SQL."""

    def execute(self, query: str, values: Any = ..., /) -> QueryResult: ...

    def close(self) -> None: ...


class Connection(ReadConnection, Protocol):
    """A connection for writing. Outside of :meth:`transaction`, each statement is a transaction of its own."""

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]: ...

    def executemany(self, query: str, rows: Iterable[Any], /) -> QueryResult: ...

    def transaction(self) -> AbstractContextManager[Any]:
        """Context manager for one transaction, which does not nest: committed, or after an exception rolled back."""
        ...


def scalar(connection: ReadConnection, query: str, values: Any = ()) -> Any:
    """Return the first column of the first row; None where there is no row."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


def column(connection: ReadConnection, query: str, values: Any = ()) -> list[Any]:
    """Return the first column of all rows."""
    return [row[0] for row in connection.execute(query, values)]


def insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, which have the same columns."""
    if rows:
        values = ", ".join(f":{name}" for name in rows[0])
        connection.executemany(f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({values})", rows)  # noqa: S608


def select_in(connection: ReadConnection, query: str, *values: Any) -> Iterator[Any]:
    """Yield the rows of a query with ``IN (??)``: one of the ``values``, a list, stands for ``??``, part by part."""
    return chain.from_iterable(_results(connection, query, values))


def execute_in(connection: ReadConnection, statement: str, *values: Any) -> int:
    """Execute a statement with ``IN (??)`` as :func:`select_in`; return how many rows it changed."""
    return sum(result.rowcount for result in _results(connection, statement, values))


def _results(connection: ReadConnection, statement: str, values: tuple[Any, ...]) -> Iterator[QueryResult]:
    (at,) = (n for n, value in enumerate(values) if isinstance(value, list))
    for start in range(0, len(values[at]), _CHUNK):
        part = values[at][start : start + _CHUNK]
        yield connection.execute(
            statement.replace("??", ", ".join("?" * len(part))), (*values[:at], *part, *values[at + 1 :])
        )
