"""Runs as others see them: in processes of their own, how far they are, what they ended with, and how to stop them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from clocks import Clock
from PIL import Image

import imseek
from imseek import jobs, maintenance
from imseek.data import layout, processes
from imseek.data.writing import job_logs, writer
from imseek.data.writing.writer import Writer
from imseek.errors import (
    CollectionNotFoundError,
    JobError,
    JobNotFoundError,
    LockedError,
    UntrustedCollectionError,
    UsageError,
)
from imseek.progress import StopRequest


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder that takes seconds to index: large pictures of one colour, each with a byte of its own at the end."""
    folder = tmp_path / "slow"
    folder.mkdir()
    Image.new("RGB", (2000, 2000), "red").save(folder / "0.png", compress_level=1)
    data = (folder / "0.png").read_bytes()
    for n in range(1, 90):
        (folder / f"{n}.png").write_bytes(data + bytes([n]))
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.new("RGB", (40, 30), "lime").save(folder / "lime.png")
    return folder


def change(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute(statement)


def said(job: jobs.Job) -> str:
    """What the process of a job has said when it ends, which is shortly after its run."""
    assert job.log is not None
    deadline = time.monotonic() + 60
    while processes.process_start_time(job.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job.log.read_text()


@contextmanager
def ignored(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


# -- what a writer records -----------------------------------------------------------------------------


def test_a_run_that_is_done(collection: imseek.Collection, small: Path) -> None:
    collection.index([small])
    (job,) = jobs.list(collection.path)
    assert (job.run_id, job.kind, job.state, job.exit_code) == (1, "index", jobs.DONE, 0)
    assert (job.pid, job.host, job.log) == (os.getpid(), processes.host(), None)
    assert job.ended is not None
    assert job.started <= job.ended
    assert job.progress.items() >= {"phase": "index", "done": 1, "total": 1, "skipped": 0}.items()
    with closing(sqlite3.connect(collection.path / layout.CATALOG)) as connection:
        started = connection.execute("SELECT pid_started FROM runs").fetchone()[0]
    assert started == processes.process_start_time(os.getpid())


@pytest.mark.parametrize("code", [130, 143])
def test_a_run_that_was_stopped(collection: imseek.Collection, small: Path, code: int) -> None:
    stop = StopRequest()
    stop.exit_code = code
    stop.set()
    assert collection.index([small], stop=stop).interrupted
    (job,) = jobs.list(collection.path)
    assert (job.state, job.exit_code) == (jobs.INTERRUPTED, code)


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (ValueError("a mistake"), jobs.FAILED, 1),
        (UsageError("a mistake"), jobs.FAILED, 2),
        (KeyboardInterrupt(), jobs.INTERRUPTED, 130),
    ],
)
def test_a_run_that_failed(collection: imseek.Collection, error: BaseException, state: str, code: int) -> None:
    with pytest.raises(type(error)), Writer(collection.path, "test"):
        raise error
    (job,) = jobs.list(collection.path)
    assert (job.state, job.exit_code) == (state, code)


def test_progress_is_written_between_commits_but_not_all_the_time(
    collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PROGRESS_SECONDS", 3600.0)
    with Writer(collection.path, "test") as writing:
        writing.note_progress({"done": 1})
        assert jobs.get(collection.path, 1).progress == {}
        writing._progress_due = 0.0
        writing.note_progress({"done": 2})
        assert jobs.get(collection.path, 1).progress == {"done": 2}
        writing.note_progress({"done": 3})
        assert jobs.get(collection.path, 1).progress == {"done": 2}
        writing.apply(lambda connection, generation: None)
        assert jobs.get(collection.path, 1).progress == {"done": 3}
        writing.note_progress({"done": 4})
    assert jobs.get(collection.path, 1).progress == {"done": 4}


# -- reading -------------------------------------------------------------------------------------------


def test_the_newest_comes_first(collection: imseek.Collection) -> None:
    assert jobs.list(collection.path) == ()
    for kind in ("one", "two", "three"):
        with Writer(collection.path, kind):
            pass
    assert [(job.run_id, job.kind) for job in jobs.list(collection.path)] == [
        (3, "three"),
        (2, "two"),
        (1, "one"),
    ]
    assert [job.kind for job in jobs.list(collection.path, limit=1)] == ["three"]
    assert jobs.get(collection.path, 2).kind == "two"
    with pytest.raises(JobNotFoundError, match="no run 4"):
        jobs.get(collection.path, 4)
    with pytest.raises(CollectionNotFoundError):
        jobs.list(collection.path / "nothing")


def test_a_catalog_that_no_writer_has_migrated_yet(tmp_path: Path) -> None:
    from durability.recipes import format_1

    format_1.unpack(tmp_path / "home")
    (root,) = {path.parent for path in (tmp_path / "home").rglob(layout.CATALOG)}
    found = jobs.list(root)
    assert len(found) > 0
    assert {(job.exit_code, len(job.progress), job.log) for job in found} == {(None, 0, None)}
    assert {job.state for job in found} <= {jobs.DONE, jobs.FAILED, jobs.INTERRUPTED}
    change(
        root,
        "UPDATE runs SET state = 'running', host = 'elsewhere' WHERE run_id = (SELECT MAX(run_id) FROM runs)",
    )
    with pytest.raises(JobError, match="runs on elsewhere"):
        jobs.cancel(root, jobs.list(root)[0].run_id)


def test_progress_that_a_later_version_has_written_otherwise(collection: imseek.Collection) -> None:
    with Writer(collection.path, "test"):
        pass
    for text in ("[1]", "no JSON"):
        change(collection.path, f"UPDATE runs SET progress = '{text}'")
        assert jobs.get(collection.path, 1).progress == {}


# -- processes -----------------------------------------------------------------------------------------


def test_a_job_runs_in_a_process_of_its_own(collection: imseek.Collection, small: Path) -> None:
    started = jobs.start(collection.path, ["index", str(small)])
    assert started.pid != os.getpid()
    assert started.log is not None
    job = jobs.wait(collection.path, started.run_id, timeout=60)
    assert (job.run_id, job.state, job.exit_code) == (1, jobs.DONE, 0)
    assert job.log == started.log
    assert job.log.parent == collection.path / layout.JOBS
    assert "1 added; 1 image in the collection" in said(job)
    assert (job.log.stat().st_mode & 0o777) == 0o600
    assert collection.info().images == 1


def test_a_job_is_cancelled_after_a_clean_flush(collection: imseek.Collection, slow: Path) -> None:
    # As from a shell's background job: what this process ignores, the new one must not.
    with ignored(signal.SIGINT):
        started = jobs.start(collection.path, ["index", str(slow)])
    assert jobs.get(collection.path, started.run_id).state == jobs.RUNNING
    assert os.getsid(started.pid) == started.pid  # No terminal can end it.
    jobs.cancel(collection.path, started.run_id)
    job = jobs.wait(collection.path, started.run_id, timeout=60)
    assert (job.state, job.exit_code) == (jobs.INTERRUPTED, 130)
    assert collection.info().images == job.progress["done"] < 90
    assert "interrupted: what is counted above is kept" in said(job)
    with pytest.raises(UsageError, match="is not running: interrupted"):
        jobs.cancel(collection.path, started.run_id)
    assert maintenance.verify(collection.path).ok


def test_a_job_that_was_killed_reads_as_interrupted(collection: imseek.Collection, slow: Path) -> None:
    started = jobs.start(collection.path, ["index", str(slow)])
    os.kill(started.pid, signal.SIGKILL)
    job = jobs.wait(collection.path, started.run_id, timeout=60)
    assert (job.state, job.exit_code, job.ended) == (jobs.INTERRUPTED, None, None)
    with closing(sqlite3.connect(collection.path / layout.CATALOG)) as connection:
        assert connection.execute("SELECT state FROM runs").fetchall() == [("running",)]
    with Writer(collection.path, "next"):  # Records it.
        pass
    job = jobs.get(collection.path, started.run_id)
    assert (job.state, job.exit_code) == (jobs.INTERRUPTED, None)
    assert job.ended is not None


def test_waiting_no_longer_than_asked(collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    with Writer(collection.path, "test") as writing:
        found = jobs.wait(collection.path, writing.run_id, timeout=10, poll=4)
        assert found.state == jobs.RUNNING
    assert clock.sleeps == [4, 4, 2]


def test_what_a_process_says_before_its_run_is_raised(collection: imseek.Collection, small: Path) -> None:
    with Writer(collection.path, "test"):
        for more in ([], ["--json"]):
            with pytest.raises(LockedError, match=rf"being written by `test`, process {os.getpid()}") as refusal:
                jobs.start(collection.path, ["index", str(small), *more])
            assert refusal.value.hint == "wait until it has finished, then try again"
    with pytest.raises(UsageError, match="No such option"):
        jobs.start(collection.path, ["index", "--nonsense"])
    with pytest.raises(JobError, match="ended with 0 without a run"):
        jobs.start(collection.path, ["--version"])
    with pytest.raises(CollectionNotFoundError):
        jobs.start(collection.path / "nothing", ["index"])
    assert [job.kind for job in jobs.list(collection.path)] == ["test"]


# -- cancelling only what is ours ----------------------------------------------------------------------


def test_a_run_of_this_very_process_is_not_interrupted(collection: imseek.Collection) -> None:
    with (
        Writer(collection.path, "test") as writing,
        pytest.raises(UsageError, match="runs in this very process"),
    ):
        jobs.cancel(collection.path, writing.run_id)


@pytest.fixture
def bystander(collection: imseek.Collection) -> Iterator[None]:
    """A process that the first run of the collection names as its own, and that nobody may interrupt."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with Writer(collection.path, "test"):
            pass
        started = processes.process_start_time(process.pid)
        change(
            collection.path,
            f"UPDATE runs SET state = 'running', pid = {process.pid}, pid_started = {started}",
        )
        assert jobs.get(collection.path, 1).state == jobs.RUNNING
        yield
        process.communicate(b"\n")
        assert process.returncode == 0


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("host = 'elsewhere'", JobError, "runs on elsewhere, process"),
        ("boot_id = 'an earlier one'", UsageError, "is not running: interrupted"),
        ("pid_started = pid_started + 1", UsageError, "is not running: interrupted"),
        ("pid_started = NULL", JobError, "does not tell process"),
        ("pid = 4194305", UsageError, "is not running: interrupted"),
    ],
)
def test_no_process_is_interrupted_that_is_not_the_one_on_record(
    collection: imseek.Collection, columns: str, error: type[Exception], message: str
) -> None:
    change(collection.path, f"UPDATE runs SET {columns}")
    with pytest.raises(error, match=message):
        jobs.cancel(collection.path, 1)


@pytest.mark.usefixtures("bystander")
def test_a_collection_of_somebody_else_names_no_process_to_stop(
    collection: imseek.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who shares the machine can see the numbers and starts of this user's processes, and put them into a catalog."""
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "my home"))
    with pytest.raises(UntrustedCollectionError, match="stopping a process"):
        jobs.cancel(collection.path, 1)


# -- logs ----------------------------------------------------------------------------------------------


def test_a_purge_removes_the_logs_of_what_has_ended(collection: imseek.Collection, small: Path) -> None:
    job = jobs.wait(collection.path, jobs.start(collection.path, ["index", str(small)]).run_id, timeout=60)
    assert job.log is not None
    own = job_logs.path_of(collection.path, os.getpid(), processes.process_start_time(os.getpid()))
    own.write_text("still being written")
    maintenance.purge(collection.path)
    assert [path.name for path in (collection.path / layout.JOBS).iterdir()] == [own.name]
    assert jobs.get(collection.path, job.run_id).log is None


def test_old_logs_make_room(collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_logs, "MAX_ENDED_LOGS", 2)
    (collection.path / layout.JOBS).mkdir()
    for n in range(4):
        path = job_logs.path_of(collection.path, 4_194_305 + n, 1)
        path.write_text(str(n))
        os.utime(path, (n, n))
    fd, starting = job_logs.create_log(collection.path)
    os.close(fd)
    left = sorted(path.name for path in (collection.path / layout.JOBS).iterdir())
    assert left == ["4194307-1.log", "4194308-1.log", starting.name]


def test_logs_survive_a_writer_and_are_no_damage(collection: imseek.Collection) -> None:
    fd, starting = job_logs.create_log(collection.path)
    os.close(fd)
    with Writer(collection.path, "test"):
        pass
    assert starting.exists()
    assert maintenance.verify(collection.path).ok


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_has_the_name_of_a_log_and_is_no_file_is_none(
    collection: imseek.Collection, tmp_path: Path, kind: str
) -> None:
    """A collection may come from somebody else, and the pages show the end of a log."""
    secret = tmp_path / "secret"
    secret.mkdir()
    with Writer(collection.path, "test"):
        pass
    (job,) = jobs.list(collection.path)
    log = job_logs.path_of(collection.path, job.pid, processes.process_start_time(job.pid))
    (secret / log.name).write_text("what nobody else may see")
    if kind == "folder":
        (collection.path / "jobs").symlink_to(secret)
    else:
        log.parent.mkdir()
        log.symlink_to(secret / log.name) if kind == "link" else os.mkfifo(log)
    assert jobs.list(collection.path)[0].log is None
