"""Read the catalog's records of runs: who wrote, how far the run is, how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict, cast

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.running_writer import select_runs
from imseek.data.files.checked_json import JsonObject
from imseek.data.processes import may_be_alive
from imseek.types.json_form import Count, Json

#: Members of a run's progress and their parsers.
_PROGRESS: Final[Mapping[str, Callable[[JsonObject, str], Any]]] = {
    "phase": JsonObject.text,
    "done": JsonObject.whole,
    "total": JsonObject.whole,
    "skipped": JsonObject.whole,
    "seconds": partial(JsonObject.number, least=0, most=1e12),
}

State: TypeAlias = Literal["running", "done", "failed", "interrupted"]
RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"


class RunProgress(TypedDict, total=False):
    """How far a run is."""

    phase: str
    done: Count
    total: Count | None
    skipped: Count
    seconds: Annotated[float, Json(minimum=0)]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of ``runs``. ``pid_started`` is in clock ticks since boot (see
    :func:`imseek.data.processes.process_start_time`).

    ``state`` is as recorded: the process of a ``running`` one may have died since.
    """

    run_id: int
    kind: str
    pid: int
    host: str
    boot_id: str
    pid_started: int | None
    started: str
    ended: str | None
    state: State
    exit_code: int | None
    progress: RunProgress

    @property
    def may_be_alive(self) -> bool:
        """Whether the run's process may still be running."""
        return may_be_alive(self.pid, self.host, self.boot_id, self.pid_started)


def read_runs(root: Path, *, run_id: int | None = None, limit: int | None = None) -> list[RunRow]:
    """Return runs of a collection, newest first: all, at most ``limit``, or only the one of ``run_id``.

    Raises as :func:`imseek.data.catalog.read_connection.connect_read_only`.
    """
    with connect_read_only(root) as connection:
        return [_row(columns) for columns in select_runs(connection, run_id=run_id, limit=limit)]


def _row(columns: Mapping[str, Any]) -> RunRow:
    return RunRow(
        run_id=columns["run_id"],
        kind=columns["kind"],
        pid=columns["pid"],
        host=columns["host"],
        boot_id=columns["boot_id"],
        pid_started=columns.get("pid_started"),
        started=columns["started_at"],
        ended=columns["ended_at"],
        state=columns["state"],
        exit_code=columns.get("exit_code"),
        progress=_progress(columns.get("progress", "{}")),
    )


def _progress(text: str) -> RunProgress:
    """Parse a run's recorded progress; members of another type, as of a later imseek, are left out."""
    members = parse_json_object(text)
    progress: dict[str, Any] = {}
    for name, parse in _PROGRESS.items():
        with suppress(ValueError):
            if name in members:
                progress[name] = None if members[name] is None else parse(JsonObject(members), name)
    return cast(RunProgress, progress)


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object of the catalog; return an empty one where a later imseek stores something else there."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
