"""Copy the rows of a catalog from one database into another."""

from __future__ import annotations

from imseek.data.catalog.postgres.catalog_reader import CURRENT
from imseek.data.catalog.reflected_tables import load_tables
from imseek.data.catalog.sql import Connection, insert
from imseek.data.words import documents

_BATCH = 5_000


def copy_rows(reading: Connection, writing: Connection) -> int:
    """Copy every row, in the transactions of both; returns the number of rows.

    The current-generation document in ``meta`` is left out, since it is regenerated where needed.
    """
    rows = 0
    for table, described in load_tables().tables.items():
        names = described.columns.keys()
        found = reading.execute(f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608 - names of ours
        while part := found.fetchmany(_BATCH):
            copied = [dict(zip(names, row, strict=True)) for row in part]
            if table == "meta":
                copied = [row for row in copied if row["name"] != CURRENT]
            insert(writing, table, copied)
            rows += len(copied)
    documents.rebuild_index(writing)
    return rows
