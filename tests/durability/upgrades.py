"""Migrations of a time to come, and a process that is killed while it runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from durability.kills import Operations
from durability.recipes import format_1
from imseek.data.catalog import migrations
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sqlite import word_index

if TYPE_CHECKING:
    from imseek.data.catalog.sqlite.catalog_file import CatalogConnection

#: A table made anew with its rows, as SQLite needs it for anything but a new column; and facts that move to another.
LATER = (
    (
        "weights",
        """
        CREATE TABLE weighted (
            image_id {int} NOT NULL, tag TEXT NOT NULL, provenance TEXT NOT NULL, weight FLOAT NOT NULL DEFAULT 1,
            born {int} NOT NULL, died {int} NOT NULL, PRIMARY KEY (image_id, tag, born));
        INSERT INTO weighted (image_id, tag, provenance, weight, born, died)
            SELECT image_id, tag, provenance, length(tag), born, died FROM tags;
        DROP TABLE tags;
        ALTER TABLE weighted RENAME TO tags;
        CREATE INDEX tags_by_tag ON tags (tag)
        """,
    ),
    (
        "depths",
        """
        ALTER TABLE places ADD COLUMN depth {int};
        UPDATE places SET depth = length(path);
        CREATE TABLE notes (space_id {int} PRIMARY KEY, facts TEXT NOT NULL);
        INSERT INTO notes SELECT space_id, facts FROM spaces;
        UPDATE spaces SET facts = '{{}}'
        """,
    ),
)
FUTURE = (*migrations.MIGRATIONS, *LATER)

#: Tables that each writer changes, whatever it has come for.
_PASSING = ("meta", "runs", "files", "migrations", "documents")


def state_of(home: Path) -> dict[str, Any]:
    """The catalog's version, its tables and indexes, and all rows that a migration may have to do with."""
    with connect_read_only(format_1.collection(home)) as connection:
        # Documents and their index are no migration's affair: a writer fills them afterwards.
        query = "SELECT name, type, sql FROM sqlite_master WHERE name NOT LIKE ? ORDER BY name"
        schema = [list(row) for row in connection.execute(query, (f"{word_index.TABLE}%",))]
        tables = [name for name, kind, _ in schema if kind == "table" and name not in _PASSING]
        rows = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
        version = connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0]
    return {"version": version, "schema": schema, "rows": rows}


def victim(home: str, die_before: int | None) -> int:
    """A writer of that time comes; returns how many operations and statements there are to die before."""
    from imseek.data.catalog.sqlite.catalog_file import CatalogConnection

    operations = Operations(die_before, count_all=True)
    operations.install()
    for name in ("execute", "executemany"):
        setattr(CatalogConnection, name, _counted(operations, getattr(CatalogConnection, name)))
    write(home)
    return operations.counted


def _counted(operations: Operations, call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(connection: CatalogConnection, *query: Any) -> Any:
        operations.happens("statement")
        return call(connection, *query)

    return counted


def write(home: str) -> None:
    """A writer of that time comes and goes."""
    from imseek.data.writing.writer import Writer

    migrations.MIGRATIONS = FUTURE
    with Writer(format_1.collection(Path(home)), "upgrade"):
        pass
