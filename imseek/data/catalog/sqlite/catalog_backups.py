"""Two rotating copies of the catalog, made with SQLite's backup API after each run that changed something."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from imseek.data import layout
from imseek.data.catalog.catalog_check import find_any_fault
from imseek.data.catalog.sqlite.catalog_file import open_catalog
from imseek.data.catalog.sqlite.errors import storage_error
from imseek.data.files import durable_files
from imseek.errors import CorruptCollectionError


def back_up(root: Path, staging: Path, target: Path) -> None:
    """Replace the backup ``target`` with a copy of the current catalog."""
    staged = staging / target.name
    copy_catalog(root / layout.CATALOG, staged)
    durable_files.publish([(staged, target)])


def next_target(root: Path) -> Path:
    """Choose the backup to overwrite next: a missing or unreadable one, else the one of the older generation.

    Time stamps do not decide: clocks jump, and copying a folder may reset them.
    """
    return min((root / name for name in layout.BACKUPS), key=generation_of)


def copy_catalog(source: Path, target: Path) -> None:
    """Copy a catalog, including its write-ahead log, into one durable file."""
    try:
        with closing(open_catalog(source)) as connection:
            copy_connection(connection, target)
    except sqlite3.DatabaseError as error:
        raise storage_error(error, source) from error
    durable_files.sync_file(target)


def copy_connection(source: sqlite3.Connection, target: Path) -> None:
    """Copy an open catalog into one file, in its transaction if there is one. Not fsynced. Raises as SQLite does."""
    durable_files.stage_unhashed(target, lambda file: None)  # Not with those of the umask.
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous=OFF")  # The caller fsyncs it once complete.
        source.backup(copy)
        # A copy must be a single file, without a write-ahead log.
        copy.execute("PRAGMA journal_mode=DELETE")


def is_usable(path: Path, uuid: str | None) -> bool:
    """Whether a file is an intact catalog of the collection ``uuid`` (None: of any).

    Raises StorageError where it cannot be read now, which says nothing about its content.
    """
    if _query_row(path, "PRAGMA integrity_check") != ("ok",) or _find_fault(path) is not None:
        return False
    return uuid_of(path) == uuid if uuid else uuid_of(path) is not None


def _find_fault(path: Path) -> str | None:
    with closing(open_catalog(path)) as connection:
        return find_any_fault(connection)


def uuid_of(path: Path) -> str | None:
    """Read the uuid in a catalog or backup; None where it cannot be read."""
    return _meta(path, "uuid")


def generation_of(path: Path) -> int:
    """Read the generation of a catalog or backup; -1 where it cannot be read."""
    try:
        return int(_meta(path, "generation") or -1)
    except ValueError:
        return -1


def _meta(path: Path, name: str) -> str | None:
    row = _query_row(path, "SELECT value FROM meta WHERE name = ?", name)
    return None if row is None else str(row[0])


def _query_row(path: Path, query: str, *values: str) -> Any:
    """Return the first row of a query's result, None where the file is missing or damaged. Raises StorageError."""
    try:
        with closing(open_catalog(path)) as connection:
            return connection.execute(query, values).fetchone()
    except (CorruptCollectionError, MemoryError):  # More memory than SQLite may have, for a wrong length.
        return None
    except sqlite3.DatabaseError as error:
        translated = storage_error(error, path)
        if isinstance(translated, CorruptCollectionError):
            return None
        raise translated from error
