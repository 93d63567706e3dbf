"""Long runs in processes of their own: start one, see how far it is, ask it to stop.

A job is a run of a writer, whoever started it: ``imseek index`` in a terminal is in the list too. What is known of it
is its row in the catalog, so that any process can ask; a process that has died without a word is told from a living
one by its number, its start, and the boot of its machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek import errors
from imseek.data import job_logs, runs
from imseek.data.current_file import read_identity
from imseek.data.lock import host, process_started
from imseek.data.trust import check_trusted
from imseek.errors import ImseekError, JobError, JobNotFoundError, LockedError, UsageError
from imseek.library import COLLECTION_VARIABLE, PROGRESS_VARIABLE

RUNNING: Final = runs.RUNNING
DONE: Final = "done"
FAILED: Final = "failed"
INTERRUPTED: Final = runs.INTERRUPTED

_POLL_SECONDS = 0.1
#: Exit codes of what was asked to stop.
_STOPPED: Final = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
#: Bytes at the end of a log in which its last progress is looked for.
_TAIL: Final = 4096


@dataclass(frozen=True, slots=True)
class Job:
    """A run of a collection, as of now.

    ``kind`` is the command. ``state`` is ``running``, ``done``, ``failed``, or ``interrupted``: stopped (with an
    ``exit_code``, 130 or 143) or dead before its end (without). ``exit_code`` is that of the run; a command may end
    with 3 where the report of a run that is ``done`` is not what was asked for. ``started`` and ``ended`` are ISO 8601
    (UTC). ``progress`` has ``phase``, ``done``, ``total`` (None until it is known), ``skipped`` and ``seconds``, of
    commits that returned; it is empty at first, and for commands that do not tell. ``log`` is what the process wrote,
    None where it is not in the background.
    """

    run_id: int
    kind: str
    state: str
    pid: int
    host: str
    started: str
    ended: str | None
    exit_code: int | None
    progress: Mapping[str, Any]
    log: Path | None


def start(collection_path: str | os.PathLike[str], command: Sequence[str]) -> Job:
    """Run ``imseek COMMAND`` on a collection in a process of its own, which outlives this one.

    ``command`` is as on the command line, such as ``["index", "/photos"]``; the collection is the one at
    ``collection_path`` unless it names another. The process has no terminal; what it says goes to :attr:`Job.log`.
    Returns as soon as its run is recorded. Raises what it ended with before that: LockedError, UsageError, JobError
    and others by their names. Raises CollectionNotFoundError, ReadOnlyError, StorageError.
    """
    root = _root(collection_path)
    before = max((row.run_id for row in runs.read_runs(root, limit=1)), default=0)
    launched = _launched(root, command, {})
    child = launched._child
    while True:
        ended = child.ended.wait(_POLL_SECONDS)
        with contextlib.suppress(LockedError):  # Somebody else has the catalog for a moment.
            for row in runs.read_runs(root, limit=10):
                if row.run_id > before and (row.pid, row.host) == (child.pid, host()):
                    return _job(root, row)
        if ended:
            raise _refusal(child.exit_code, launched.log)


def launch(collection_path: str | os.PathLike[str], command: Sequence[str]) -> Launched:
    """As :func:`start`, without waiting: for commands such as ``map`` that look at all vectors first and have no run
    until they store what they found. Raises CollectionNotFoundError, ReadOnlyError, StorageError."""
    return _launched(_root(collection_path), command, {PROGRESS_VARIABLE: "json"})


def _launched(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> Launched:
    fd, starting = job_logs.new(root)
    try:
        child = _Child([*command], {COLLECTION_VARIABLE: str(root), **environment}, fd)
    except BaseException:
        starting.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return Launched(tuple(command), job_logs.name_after(starting, root, child.pid, child.started), child)


def list(  # noqa: A001 - imseek.jobs.list, as in os.open
    collection_path: str | os.PathLike[str], *, limit: int | None = None
) -> tuple[Job, ...]:
    """The runs of a collection, the newest first; at most ``limit``. Raises CollectionNotFoundError, StorageError."""
    root = _root(collection_path)
    return tuple(_job(root, row) for row in runs.read_runs(root, limit=limit))


def get(collection_path: str | os.PathLike[str], run_id: int) -> Job:
    """One run. Raises JobNotFoundError, CollectionNotFoundError, StorageError."""
    root = _root(collection_path)
    return _job(root, _row(root, run_id))


def wait(
    collection_path: str | os.PathLike[str], run_id: int, *, timeout: float | None = None, poll: float = 0.2
) -> Job:
    """Wait until a run has ended, at most ``timeout`` seconds: then it is returned as it is, still running.

    ``poll`` is how often to look, in seconds. Raises as :func:`get`.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        job = get(collection_path, run_id)
        left = poll if end is None else min(poll, end - time.monotonic())
        if job.state != RUNNING or left <= 0:
            return job
        time.sleep(left)


def cancel(collection_path: str | os.PathLike[str], run_id: int) -> Job:
    """Ask a run to stop (SIGINT): ``index`` and ``watch`` commit what is under way, other commands end at once.

    Returns at once; :func:`wait` waits. The signal is sent only to the process that is recorded: of this host and
    boot, with this number and this start. Raises JobNotFoundError, UsageError where it is not running or runs in this
    very process, JobError where its process is out of reach, and UntrustedCollectionError: a catalog that somebody else
    made may name any process of the user.
    """
    root = _root(collection_path)
    row = _row(root, run_id)
    check_trusted(root, "stopping a process that it names")
    what = f"job {run_id} ({row.kind})"
    if (state := _state(row)) != RUNNING:
        raise UsageError(f"{what} is not running: {state}", hint="`imseek jobs` shows what is")
    if row.host != host():
        raise JobError(f"{what} runs on {row.host}, process {row.pid}", hint="cancel it there")
    if row.pid == os.getpid():
        raise UsageError(
            f"{what} runs in this very process", hint="set the event that it was given as `stop`"
        )
    if row.pid_started is None:
        raise JobError(
            f"{what}: this system, or the imseek that started it, does not tell process {row.pid} from a later one",
            hint=f"if it is still that one: kill -INT {row.pid}",
        )
    _interrupt(row, what)
    return _job(root, row)


def _interrupt(row: runs.RunRow, what: str) -> None:
    """The descriptor is of one process: if that ends between the look and the signal, no later one is hit."""
    try:
        process = os.pidfd_open(row.pid)
    except ProcessLookupError:
        raise UsageError(f"{what} has just ended") from None
    try:
        if not row.may_be_alive:
            raise UsageError(f"{what} has just ended")
        signal.pidfd_send_signal(process, signal.SIGINT)
    except ProcessLookupError:
        raise UsageError(f"{what} has just ended") from None
    except PermissionError as error:
        raise JobError(f"{what} is process {row.pid} of another user: {error.strerror}") from error
    finally:
        os.close(process)


@dataclass(frozen=True, slots=True, eq=False)
class Launched:
    """A process of :func:`launch`, which outlives this one; ``log`` is what it writes."""

    command: tuple[str, ...]
    log: Path
    _child: _Child

    @property
    def ended(self) -> bool:
        return self._child.ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.exit_code if self.ended else None

    @property
    def progress(self) -> Mapping[str, Any]:
        """The last that it told: ``phase``, ``done``, ``total`` and so on; empty at first."""
        for line in reversed(self._lines()):
            if isinstance(told := _object(line).get("progress"), dict):
                return told
        return {}

    @property
    def error(self) -> ImseekError | None:
        """What it ended with; None while it runs, where it did what it was asked, and where it was stopped."""
        code = self.exit_code
        return None if code in (None, 0, *_STOPPED) else _refusal(code, self.log)

    def stop(self) -> None:
        """Ask it to stop (SIGINT): what it has ready by then is kept. Returns at once."""
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self._child.pid)
            try:
                # Of this start: once it was asked after, another may have its number.
                if not self.ended and process_started(self._child.pid) == self._child.started:
                    signal.pidfd_send_signal(process, signal.SIGINT)
            finally:
                os.close(process)

    def _lines(self) -> Sequence[str]:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                return file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []


class _Child:
    """A process without a terminal, in a session of its own, that hears SIGINT whatever this one ignores.

    ``ended`` is set once it has been asked after, so that it does not stay as a zombie where this process lives on.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: int) -> None:
        arguments = [sys.executable, "-P", "-m", "imseek", *command]
        self.pid = os.posix_spawn(
            sys.executable,
            arguments,
            # Unbuffered, since people follow the log.
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
        self.started = process_started(self.pid)
        self.ended = threading.Event()
        self.exit_code: int | None = None
        threading.Thread(target=self._wait, name=f"imseek job {self.pid}", daemon=True).start()

    def _wait(self) -> None:
        with contextlib.suppress(ChildProcessError):  # This process lets the system ask after its children.
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.ended.set()


def _root(path: str | os.PathLike[str]) -> Path:
    root = Path(path).expanduser().absolute()
    read_identity(root)
    return root


def _row(root: Path, run_id: int) -> runs.RunRow:
    if 0 <= run_id < 1 << 63:  # SQLite holds no other.
        for row in runs.read_runs(root, run_id=run_id):
            return row
    raise JobNotFoundError(f"no job {run_id} in {root}", hint="`imseek jobs` shows those there are")


def _state(row: runs.RunRow) -> str:
    """What is recorded as running and cannot be any more was interrupted: the next writer will record that."""
    return INTERRUPTED if row.state == RUNNING and not row.may_be_alive else row.state


def _job(root: Path, row: runs.RunRow) -> Job:
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


def _refusal(exit_code: int | None, log: Path) -> ImseekError:
    """What a process said before it ended without a run, as the error that it was there."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    known = {LockedError.exit_code: LockedError, UsageError.exit_code: UsageError}
    for n in range(len(lines) - 1, -1, -1):
        if (said := _error_of(lines[n])) is not None:
            kind = getattr(errors, str(said.get("type")), JobError)
            return _made(kind, str(said.get("message")), said.get("hint"))
        if lines[n].startswith("imseek: "):
            after = lines[n + 1] if n + 1 < len(lines) else ""
            hint = after.removeprefix("hint: ") if after.startswith("hint: ") else None
            return _made(known.get(exit_code or 0, JobError), lines[n].removeprefix("imseek: "), hint)
    ending = "" if exit_code is None else f" with {exit_code}"
    return JobError(f"the process ended{ending} without a run", hint=f"what it said: {log}")


def _made(kind: type[ImseekError], message: str, hint: str | None) -> ImseekError:
    if not (
        isinstance(kind, type) and issubclass(kind, ImseekError) and kind.__init__ is ImseekError.__init__
    ):
        kind = JobError
    return kind(message, hint=hint)


def _error_of(line: str) -> Mapping[str, Any] | None:
    """The error of a line that ``--json`` prints, None for any other line."""
    error = _object(line).get("error")
    return error if isinstance(error, dict) else None


def _object(line: str) -> Mapping[str, Any]:
    """The JSON object that a line is; an empty one for any other."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
