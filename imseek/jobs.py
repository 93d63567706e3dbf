"""Run long commands as background processes: start them, follow their progress, ask them to stop.

A job is any run of a writer, including ``imseek index`` in a terminal. Its state is a row of the catalog, so that any
process can read it. A process that died silently is told from a living one by its number, its start time and the boot
of its machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from imseek import errors
from imseek.data.catalog import run_reader
from imseek.data.collection_records import read_identity
from imseek.data.processes import host, process_start_time
from imseek.data.trust import check_trusted
from imseek.data.user_files import safe_path
from imseek.data.writing import job_logs
from imseek.errors import ImseekError, JobError, JobNotFoundError, LockedError, UsageError
from imseek.library import COLLECTION_VARIABLE, PROGRESS_VARIABLE
from imseek.tilde_expansion import expand_user
from imseek.types.json_form import Json

RUNNING: Final = run_reader.RUNNING
DONE: Final = "done"
FAILED: Final = "failed"
INTERRUPTED: Final = run_reader.INTERRUPTED

_POLL_SECONDS = 0.1
#: Exit codes of a process that was asked to stop.
_STOP_EXIT_CODES: Final = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
#: Bytes at the end of a log that are searched for the last progress line.
_TAIL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot of a run of a collection."""

    run_id: Annotated[int, Json(name="job_id", minimum=1)]
    kind: str
    """The command."""
    state: run_reader.State
    """``interrupted``: it was stopped (``exit_code`` is 130 or 143), or died before its end (no ``exit_code``)."""
    pid: int
    host: str
    started: str
    """ISO 8601 (UTC)."""
    ended: str | None
    """ISO 8601 (UTC)."""
    exit_code: int | None
    """That of the run, null while there is none; the command may still exit with 3 if a run that is ``done`` did not
    meet the request."""
    progress: run_reader.RunProgress
    """How far it is, as of the last commit, with ``total`` null until known; empty at first, and for commands that
    report none. More members may come."""
    log: Path | None
    """What the process has written; null unless it runs in the background."""


def start(collection_path: str | os.PathLike[str], command: Sequence[str]) -> Job:
    """Run ``imseek COMMAND`` on a collection in a background process that outlives this one.

    ``command`` is a command line such as ``["index", "/photos"]``. It applies to the collection at ``collection_path``
    unless it names another. The process has no terminal; its output goes to :attr:`Job.log`. Returns once the run is
    recorded. If the process ends earlier, raises its error: LockedError, UsageError, JobError or another. Raises
    CollectionNotFoundError, ReadOnlyError, StorageError.
    """
    root = _root(collection_path)
    before = max((row.run_id for row in run_reader.read_runs(root, limit=1)), default=0)
    launched = _launch(root, command, {})
    child = launched._child
    while True:
        has_ended = child.ended.wait(_POLL_SECONDS)
        with contextlib.suppress(LockedError):  # Another process is using the catalog.
            for row in run_reader.read_runs(root, limit=10):
                if row.run_id > before and (row.pid, row.host) == (child.pid, host()):
                    return _job(root, row)
        if has_ended:
            raise _error_from_log(child.exit_code, launched.log)


def launch(collection_path: str | os.PathLike[str], command: Sequence[str]) -> Launched:
    """Start a command as :func:`start` does, but return at once.

    For commands such as ``map``, which read all vectors first and record a run only when they store the result. Raises
    CollectionNotFoundError, ReadOnlyError, StorageError.
    """
    return _launch(_root(collection_path), command, {PROGRESS_VARIABLE: "json"})


def _launch(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> Launched:
    fd, starting = job_logs.create_log(root)
    try:
        child = _Child([*command], {COLLECTION_VARIABLE: str(root), **environment}, fd)
    except BaseException:
        starting.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return Launched(tuple(command), job_logs.rename_to_process(starting, root, child.pid, child.started), child)


def list(  # noqa: A001 - imseek.jobs.list, as in os.open
    collection_path: str | os.PathLike[str], *, limit: int | None = None
) -> tuple[Job, ...]:
    """List the runs of a collection, newest first, at most ``limit``. Raises CollectionNotFoundError, StorageError."""
    root = _root(collection_path)
    return tuple(_job(root, row) for row in run_reader.read_runs(root, limit=limit))


def get(collection_path: str | os.PathLike[str], run_id: int) -> Job:
    """Return one run. Raises JobNotFoundError, CollectionNotFoundError, StorageError."""
    root = _root(collection_path)
    return _job(root, _row(root, run_id))


def wait(
    collection_path: str | os.PathLike[str], run_id: int, *, timeout: float | None = None, poll: float = 0.2
) -> Job:
    """Wait at most ``timeout`` seconds for a run to end, and return it, which may still be running.

    ``poll`` is the polling interval in seconds. Raises as :func:`get`.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        job = get(collection_path, run_id)
        left = poll if end is None else min(poll, end - time.monotonic())
        if job.state != RUNNING or left <= 0:
            return job
        time.sleep(left)


def read_log(log: str | os.PathLike[str], longest: int = 64 * 1024) -> tuple[str, bool] | None:
    """Return the last ``longest`` bytes of a run's log (:attr:`Job.log`) as text, and whether that is all of it.

    None if there is none, or it is no regular file.
    """
    try:
        with (
            safe_path.open_parent(safe_path.SafePath.of(os.fsencode(log))) as entry,
            os.fdopen(safe_path.open_regular(entry), "rb") as file,
        ):
            length = file.seek(0, 2)
            file.seek(max(length - longest, 0))
            return file.read(longest).decode("utf-8", "replace"), length <= longest
    except (OSError, safe_path.ChangingError):
        return None


def cancel(collection_path: str | os.PathLike[str], run_id: int) -> Job:
    """Ask a run to stop (SIGINT): ``index`` and ``watch`` commit their current work, other commands end at once.

    Returns immediately; use :func:`wait` to wait. The signal goes only to the recorded process: on this host and boot,
    with the same number and start time. Raises JobNotFoundError, UsageError if it is not running or runs in this
    process, JobError if its process is out of reach, and UntrustedCollectionError, because someone else's catalog could
    name any process of the user.
    """
    root = _root(collection_path)
    row = _row(root, run_id)
    check_trusted(root, "stopping a process that it names")
    label = f"job {run_id} ({row.kind})"
    if (state := _state(row)) != RUNNING:
        raise UsageError(f"{label} is not running: {state}", hint="`imseek jobs` shows what is")
    if row.host != host():
        raise JobError(f"{label} runs on {row.host}, process {row.pid}", hint="cancel it there")
    if row.pid == os.getpid():
        raise UsageError(f"{label} runs in this very process", hint="set the event that it was given as `stop`")
    if row.pid_started is None:
        raise JobError(
            f"{label}: this system, or the imseek that started it, does not tell process {row.pid} from a later one",
            hint=f"if it is still that one: kill -INT {row.pid}",
        )
    _interrupt(row, label)
    return _job(root, row)


def _interrupt(row: run_reader.RunRow, label: str) -> None:
    """Send SIGINT through a pidfd, so that a later process with the same number is never hit."""
    try:
        process = os.pidfd_open(row.pid)
    except ProcessLookupError:
        raise UsageError(f"{label} has just ended") from None
    try:
        if not row.may_be_alive:
            raise UsageError(f"{label} has just ended")
        signal.pidfd_send_signal(process, signal.SIGINT)
    except ProcessLookupError:
        raise UsageError(f"{label} has just ended") from None
    except PermissionError as error:
        raise JobError(f"{label} is process {row.pid} of another user: {error.strerror}") from error
    finally:
        os.close(process)


@dataclass(frozen=True, slots=True, eq=False)
class Launched:
    """A process started by :func:`launch`, which outlives this one; ``log`` is its output."""

    command: tuple[str, ...]
    log: Path
    _child: _Child

    @property
    def ended(self) -> bool:
        return self._child.ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._child.exit_code if self.ended else None

    @property
    def progress(self) -> Mapping[str, Any]:
        """The last progress reported: ``phase``, ``done``, ``total`` and so on; empty at first."""
        for line in reversed(self._lines()):
            if isinstance(progress := run_reader.parse_json_object(line).get("progress"), dict):
                return progress
        return {}

    @property
    def error(self) -> ImseekError | None:
        """The error it ended with; None while it runs, if it succeeded, or if it was stopped."""
        code = self.exit_code
        return None if code in (None, 0, *_STOP_EXIT_CODES) else _error_from_log(code, self.log)

    def stop(self) -> None:
        """Ask it to stop (SIGINT), keeping what is finished by then. Returns immediately."""
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self._child.pid)
            try:
                # Once the child has been reaped, another process may have its number.
                if not self.ended and process_start_time(self._child.pid) == self._child.started:
                    signal.pidfd_send_signal(process, signal.SIGINT)
            finally:
                os.close(process)

    def _lines(self) -> Sequence[str]:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []


class _Child:
    """A process without a terminal, in its own session, that receives SIGINT even if this process ignores it.

    A thread reaps it and sets ``ended``, so that no zombie remains while this process lives.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: int) -> None:
        arguments = [sys.executable, "-P", "-m", "imseek", *command]
        self.pid = os.posix_spawn(
            sys.executable,
            arguments,
            # Unbuffered, so that the log can be followed.
            {**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGINT, signal.SIGTERM],
            setsigmask=[],
        )
        self.started = process_start_time(self.pid)
        self.ended = threading.Event()
        self.exit_code: int | None = None
        threading.Thread(target=self._wait, name=f"imseek job {self.pid}", daemon=True).start()

    def _wait(self) -> None:
        with contextlib.suppress(ChildProcessError):  # Reaped already, if this process ignores SIGCHLD.
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.ended.set()


def _root(path: str | os.PathLike[str]) -> Path:
    root = expand_user(path).absolute()
    read_identity(root)
    return root


def _row(root: Path, run_id: int) -> run_reader.RunRow:
    if 0 <= run_id < 1 << 63:  # SQLite's integers have 64 bits.
        for row in run_reader.read_runs(root, run_id=run_id):
            return row
    raise JobNotFoundError(f"no run {run_id} in {root}", hint="`imseek jobs` lists them")


def _state(row: run_reader.RunRow) -> run_reader.State:
    """Return the state; a run recorded as running whose process is dead counts as interrupted.

    The next writer records that.
    """
    return INTERRUPTED if row.state == RUNNING and not row.may_be_alive else row.state


def _job(root: Path, row: run_reader.RunRow) -> Job:
    return Job(
        run_id=row.run_id,
        kind=row.kind,
        state=_state(row),
        pid=row.pid,
        host=row.host,
        started=row.started,
        ended=row.ended,
        exit_code=row.exit_code,
        progress=row.progress,
        log=job_logs.find(root, row.pid, row.pid_started),
    )


def _error_from_log(exit_code: int | None, log: Path) -> ImseekError:
    """Rebuild, from its log, the error that ended a process before it recorded a run."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    kinds = {LockedError.exit_code: LockedError, UsageError.exit_code: UsageError}
    for n in range(len(lines) - 1, -1, -1):
        if isinstance(error := run_reader.parse_json_object(lines[n]).get("error"), dict):  # as `--json` prints it
            kind = getattr(errors, str(error.get("type")), JobError)
            return _make_error(kind, str(error.get("message")), error.get("hint"))
        if lines[n].startswith("imseek: "):
            after = lines[n + 1] if n + 1 < len(lines) else ""
            hint = after.removeprefix("hint: ") if after.startswith("hint: ") else None
            return _make_error(kinds.get(exit_code or 0, JobError), lines[n].removeprefix("imseek: "), hint)
    ending = "" if exit_code is None else f" with {exit_code}"
    return JobError(f"the process ended{ending} without a run", hint=f"its output is in {log}")


def _make_error(kind: type[ImseekError], message: str, hint: str | None) -> ImseekError:
    if not (isinstance(kind, type) and issubclass(kind, ImseekError) and kind.__init__ is ImseekError.__init__):
        kind = JobError
    return kind(message, hint=hint)
