"""The catalog's tables for SQLAlchemy, read from an empty catalog that the migrations make.

For what handles tables as a whole: copies into another database, and verification on a server. Statements about rows
are plain SQL (:mod:`imseek.data.catalog.sql`), so that everyday commands import no SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache

from sqlalchemy import Connection, MetaData, create_engine, inspect
from sqlalchemy.pool import StaticPool

from imseek.data.catalog.migrations import MIGRATIONS, make_empty


@cache
def load_tables(version: int = len(MIGRATIONS)) -> MetaData:
    """Describe the tables of a catalog after its first ``version`` migrations, except the one that records these."""
    tables = MetaData()
    with closing(make_empty(MIGRATIONS[:version])) as catalog:
        engine = create_engine("sqlite://", creator=lambda: catalog, poolclass=StaticPool)
        tables.reflect(engine, only=lambda name, _: name != "migrations")
    return tables


def find_difference(connection: Connection, version: int) -> str | None:
    """Describe the first table or column of a catalog of this version that differs from what migrations make, or None.

    Tables and columns that it has beside them may be its database's own.
    """
    return next(_differences(connection, version), None)


def _differences(connection: Connection, version: int) -> Iterator[str]:
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    for table in load_tables(version).sorted_tables:
        if table.name not in names:
            yield f"it lacks the table {table.name!r}"
            continue
        columns = {column["name"]: column for column in inspector.get_columns(table.name)}
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            if (actual := columns.get(column.name)) is None:
                yield f"it lacks the column {name!r}"
            elif actual["type"].python_type is not column.type.python_type:
                yield f"the type of {name!r} is {actual['type']}"
            elif actual["nullable"] and not (column.nullable or column.primary_key):
                yield f"{name!r} may be NULL"
        keys = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if set(keys) != set(table.primary_key.columns.keys()):
            yield f"the primary key of {table.name!r} is another"
