"""Describe the active writer, for an error of a process that waits for its lock."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.data.processes import may_be_alive
from imseek.errors import LockedError, StorageError

if TYPE_CHECKING:
    from imseek.data.catalog.backend import ReadConnection


def describe_writer(connecting: AbstractContextManager[ReadConnection]) -> str | None:
    """Describe the writer that the catalog records as running; None where there is none, or it is known to be dead."""
    try:
        with connecting as connection:
            # All existing columns: a catalog that no writer has migrated yet lacks the later ones.
            found = connection.execute("SELECT * FROM runs ORDER BY run_id DESC LIMIT 1")
            names = [column[0] for column in found.description]
            row = dict(zip(names, found.fetchone() or (), strict=False))
    except StorageError:
        return None
    # There is one writer at a time, and the next one closes any run still recorded as running.
    if row.get("state") != "running" or not may_be_alive(
        row["pid"], row["host"], row["boot_id"], row.get("pid_started")
    ):
        return None
    return f"`{row['kind']}`, process {row['pid']} on {row['host']}, started {row['started_at']}"


def locked_error(root: Path, connecting: AbstractContextManager[ReadConnection]) -> LockedError:
    """Build the error for a collection with an active writer, naming its process."""
    holder = describe_writer(connecting) or "another process"
    return LockedError(f"{root} is being written by {holder}", hint="wait until it has finished, then try again")
