"""Two rotating copies of the catalog, made with SQLite's backup API after each run that changed something."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from imseek.data import durable, layout
from imseek.data.reader import catalog_uri


def back_up(root: Path, staging: Path, target: Path) -> None:
    """Replace the backup ``target`` by a copy of the catalog as it is now."""
    staged = staging / target.name
    copy_catalog(root / layout.CATALOG, staged)
    durable.publish([(staged, target)])


def next_target(root: Path) -> Path:
    """The backup that the next one replaces: one that is missing or unreadable, else that of the older generation.

    (Not by time stamp: clocks jump, and a copied folder may have new ones.)
    """
    return min((root / name for name in layout.BACKUPS), key=generation_of)


def copy_catalog(source: Path, target: Path) -> None:
    """Copy a catalog with what its write-ahead log holds into one durable file."""
    with closing(_connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        # A copy must be one file: no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
    durable.sync_file(target)


def usable(path: Path, uuid: str | None) -> bool:
    """Whether a file is an intact catalog of the collection ``uuid`` (None: of any)."""
    try:
        with closing(_connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
    except sqlite3.DatabaseError:
        return False
    return uuid_of(path) == uuid if uuid else uuid_of(path) is not None


def uuid_of(path: Path) -> str | None:
    """The uuid that a catalog or a backup states, None where it cannot be read."""
    return _meta(path, "uuid")


def generation_of(path: Path) -> int:
    """The generation that a catalog or a backup states, -1 where it cannot be read."""
    try:
        return int(_meta(path, "generation") or -1)
    except ValueError:
        return -1


def _meta(path: Path, name: str) -> str | None:
    try:
        with closing(_connect(path)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])
    except sqlite3.DatabaseError:
        return None


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(catalog_uri(path), uri=True)
