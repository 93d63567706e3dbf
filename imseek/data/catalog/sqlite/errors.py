"""Translate SQLite's errors into imseek's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from imseek.errors import (
    FREE_SPACE,
    MORE_FILES,
    CorruptCollectionError,
    LockedError,
    ReadOnlyError,
    StorageError,
    repair_command,
)


def storage_error(error: BaseException | None, catalog: Path, *, writing: bool = False) -> StorageError:
    """Translate an error of SQLite on ``catalog``. Errors not known to be harmless mean damage.

    ``writing`` is for connections that create a file.
    """
    message = f"{catalog}: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    match code & 0xFF:  # The low byte is the primary code, the rest refines it.
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LockedError(message, hint="another program has the catalog open for writing")
        case sqlite3.SQLITE_READONLY:
            return ReadOnlyError(message, hint="searching works; indexing does not")
        case sqlite3.SQLITE_FULL:
            return StorageError(message, hint=FREE_SPACE)
        case sqlite3.SQLITE_IOERR if code == sqlite3.SQLITE_IOERR_SHMSIZE:
            return StorageError(message, hint=FREE_SPACE)
        case sqlite3.SQLITE_IOERR:
            hint = "the disk may be full or failing; what was committed is safe"
            return StorageError(message, hint=hint)
        case sqlite3.SQLITE_INTERRUPT:
            return CorruptCollectionError(
                f"{catalog}: a query took far more steps than one on a catalog of its size",
                hint=repair_command(catalog.parent),
            )
        case sqlite3.SQLITE_NOMEM:
            return StorageError(message)
        case sqlite3.SQLITE_CANTOPEN if writing or catalog.exists():
            return StorageError(message, hint=f"check read permission and free disk space; or {MORE_FILES}")
        case _:
            return CorruptCollectionError(message, hint=repair_command(catalog.parent))
