"""Read the catalog's records of runs, and name the running writer in the error of a collection that is locked."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imseek.data.processes import may_be_alive
from imseek.errors import LockedError, StorageError

if TYPE_CHECKING:
    from imseek.data.catalog.sql import ReadConnection

#: A LIMIT that limits nothing, in any SQL dialect.
_NO_LIMIT = 2**63 - 1


def select_runs(
    connection: ReadConnection, *, run_id: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return columns of ``runs``, newest first: all runs, at most ``limit``, or only the one of ``run_id``."""
    # All existing columns: a catalog that no writer has migrated yet lacks the later ones.
    query, values = "SELECT * FROM runs", []
    if run_id is not None:
        query, values = f"{query} WHERE run_id = ?", [run_id]
    query = f"{query} ORDER BY run_id DESC LIMIT ?"
    cursor = connection.execute(query, (*values, _NO_LIMIT if limit is None else limit))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def describe_writer(connecting: AbstractContextManager[ReadConnection]) -> str | None:
    """Describe the writer that the catalog records as running; None where there is none, or it is known to be dead."""
    try:
        with connecting as connection:
            row = next(iter(select_runs(connection, limit=1)), {})
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


def check_in_place(root: Path, name: str, expected: os.stat_result) -> None:
    """Raise StorageError unless the file ``name`` of a collection is the one whose stat was ``expected``."""
    try:
        actual = (root / name).stat()
    except OSError:
        actual = None
    if actual is None or not os.path.samestat(actual, expected):
        raise StorageError(
            f"{root} was moved or deleted during a write",
            hint="if it was moved, all committed data is at its new location",
        )
