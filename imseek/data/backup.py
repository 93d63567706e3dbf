"""Two rotating copies of the catalog, made with SQLite's backup API after each run that changed something."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from imseek.data import durable, layout


def back_up(root: Path, staging: Path) -> Path:
    """Replace the older of the two backups by a copy of the catalog as it is now; returns its path."""
    target = min((root / name for name in layout.BACKUPS), key=_modified)
    staged = staging / target.name
    with closing(sqlite3.connect(root / layout.CATALOG)) as source, closing(sqlite3.connect(staged)) as copy:
        source.backup(copy)
        # A backup must be one file: no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
    durable.sync_file(staged)
    durable.publish([(staged, target)])
    return target


def usable(path: Path, uuid: str | None) -> bool:
    """Whether a file is an intact catalog of the collection ``uuid`` (None: of any)."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
            found = connection.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone()
            return uuid is None or found == (uuid,)
    except sqlite3.DatabaseError:
        return False


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
