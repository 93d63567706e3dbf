"""Copy the rows of a catalog from one database into another."""

from __future__ import annotations

from imseek.data.catalog.postgres.catalog_reader import CURRENT
from imseek.data.catalog.reflected_tables import load_tables
from imseek.data.catalog.sql import Connection, insert
from imseek.data.words import documents

_BATCH = 5_000


def copy_rows(source: Connection, target: Connection) -> int:
    """Copy every row, in the transactions of both; returns the number of rows.

    The current-generation document in ``meta`` is left out, since it is regenerated where needed.
    """
    rows = 0
    for table, description in load_tables().tables.items():
        names = description.columns.keys()
        cursor = source.execute(f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608 - names of ours
        while part := cursor.fetchmany(_BATCH):
            records = [dict(zip(names, row, strict=True)) for row in part]
            if table == "meta":
                records = [row for row in records if row["name"] != CURRENT]
            insert(target, table, records)
            rows += len(records)
    documents.rebuild_index(target)
    return rows
