"""Copy the rows of a catalog from one database into another."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from imseek.data.catalog import schema as t
from imseek.data.catalog.postgres.catalog_reader import CURRENT
from imseek.data.words import documents

_BATCH = 5_000


def copy_rows(reading: Connection, writing: Connection) -> int:
    """Copy every row, in the transactions of both; returns the number of rows.

    The current-generation document in ``meta`` is left out, since it is regenerated where needed.
    """
    rows = 0
    for table in t.metadata.sorted_tables:
        query = select(table)
        if table is t.meta:
            query = query.where(t.meta.c.name != CURRENT)
        for part in reading.execute(query).mappings().partitions(_BATCH):
            writing.execute(insert(table), [dict(row) for row in part])
            rows += len(part)
    documents.rebuild_index(writing)
    return rows
