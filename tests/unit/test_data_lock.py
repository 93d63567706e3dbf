"""One writer, whose process the others are told; and where no lock can be trusted, none at all."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from clocks import Clock

import imseek
from imseek.data import layout, processes
from imseek.data.catalog.sqlite.lock import WriterLock, is_file_locked
from imseek.data.files import write_check
from imseek.data.files.write_check import file_system
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, LockedError, ReadOnlyError, StorageError

MOUNTS = (
    rb"""21 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:20 / /proc rw - proc proc rw
30 21 0:40 / /mnt/nas rw - nfs4 server:/export rw,vers=4.2
31 30 0:41 / /mnt/nas/local rw - ext4 /dev/vdb rw
32 21 0:42 / /mnt/with\040space rw - cifs //server/share rw
33 21 0:43 / /mnt/m\303\251dia rw master:5 - fuse.sshfs host:/ rw
34 21 0:44 / /mnt/raw_"""
    + "é".encode()
    + rb""" rw - 9p host rw
35 21 0:45 / /mnt/notutf8_"""
    + b"\xff"
    + rb""" rw - smb3 //server/other rw
36 21 0:46 / /mnt/twice rw - ext4 /dev/vdc rw
37 36 0:47 / /mnt/twice rw - nfs server:/over rw
"""
)


@pytest.fixture
def mounts(tmp_path: Path) -> str:
    (tmp_path / "mountinfo").write_bytes(MOUNTS)
    return str(tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/home/me", "ext4"),
        (b"/", "ext4"),
        (b"/mnt/nas", "nfs4"),
        (b"/mnt/nas/photos", "nfs4"),
        (b"/mnt/nasty", "ext4"),
        (b"/mnt/nas/local/photos", "ext4"),
        (b"/mnt/with space/photos", "cifs"),
        ("/mnt/média/x".encode(), "fuse.sshfs"),
        ("/mnt/raw_é/x".encode(), "9p"),
        (b"/mnt/notutf8_\xff/x", "smb3"),
        (b"/mnt/twice/x", "nfs"),
    ],
)
def test_the_file_system_of_a_path(mounts: str, path: bytes, kind: str) -> None:
    assert file_system(Path(os.fsdecode(path)), mounts) == kind


def test_the_file_system_of_this_machine() -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(Path("/anything"), "/no/such/file") is None


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    imseek.create(tmp_path / "collection", encoder="fake").close()
    return tmp_path / "collection"


def test_a_network_file_system_is_searched_but_not_written(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "mountinfo"
    fake.write_bytes(f"1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / {collection} rw - nfs4 server:/x rw\n".encode())
    monkeypatch.setattr(write_check, "file_system", lambda path: file_system(path, str(fake)))
    with pytest.raises(ReadOnlyError, match="nfs4") as refusal, Writer(collection, "test"):
        pytest.fail("written over a network")
    assert "PostgreSQL" in str(refusal.value.hint)
    assert not is_file_locked(collection)
    with imseek.open(collection) as opened:
        assert opened.search("red").hits == ()
    with pytest.raises(ReadOnlyError):
        imseek.create(collection / "metadata", encoder="fake")


def test_the_second_writer_is_told_of_the_first(collection: Path) -> None:
    with Writer(collection, "index") as writer:
        assert is_file_locked(collection)
        with pytest.raises(LockedError) as refusal, Writer(collection, "maintain"):
            pytest.fail("two writers")
        with writer.catalog.transaction() as connection:
            started = connection.execute("SELECT started_at FROM runs ORDER BY run_id DESC").fetchone()[0]
        for part in ("`index`", f"process {os.getpid()}", processes.host(), str(started)):
            assert part in str(refusal.value)
    assert refusal.value.exit_code == 75
    assert not is_file_locked(collection)
    with Writer(collection, "maintain"):
        pass


HOLD = """
import sys
from pathlib import Path
from imseek.data.writing.writer import Writer
with Writer(Path(sys.argv[1]), "index"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_has_another_name_is_not_taken(collection: Path, tmp_path: Path) -> None:
    """Taking it would empty it. Also where a collection is only renamed, which asks for nothing else."""
    (tmp_path / "thesis.txt").write_text("three years of work")
    (collection / layout.LOCK).unlink(missing_ok=True)
    os.link(tmp_path / "thesis.txt", collection / layout.LOCK)
    with pytest.raises(CorruptCollectionError, match="a hard link to a file that has another name"):
        WriterLock(collection).acquire()
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_a_writer_of_another_process(collection: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", HOLD, str(collection)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(LockedError, match=f"process {process.pid} on"), Writer(collection, "test"):
            pytest.fail("two writers")
        with imseek.open(collection) as opened:
            assert f"process {process.pid} on" in str(opened.info().writer)
        process.kill()
    # The dead one is still recorded as running: its lock is gone, so nobody waits for it.
    with imseek.open(collection) as opened:
        assert opened.info().writer is None
    with Writer(collection, "test") as writer, writer.catalog.transaction() as connection:
        states = connection.execute("SELECT kind, state FROM runs ORDER BY run_id").fetchall()
    assert states == [("index", "interrupted"), ("test", "running")]


def test_a_dead_writer_is_not_named(collection: Path) -> None:
    """The lock is held by something that has no run, such as a rename, after a run that was killed."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with Writer(collection, "test"):
        pass
    with closing(sqlite3.connect(collection / layout.CATALOG)) as connection, connection:
        connection.execute("UPDATE runs SET state = 'running', pid = ?", (process.pid,))
    holder = WriterLock(collection)
    holder.acquire()
    try:
        with pytest.raises(LockedError, match=r"by another process$"):
            WriterLock(collection).acquire()
    finally:
        holder.release()


@pytest.mark.parametrize(
    ("pid", "host", "boot", "alive"),
    [
        (os.getpid(), processes.host(), processes.boot_id(), True),
        (1, processes.host(), processes.boot_id(), True),
        (os.getpid(), processes.host(), "an earlier start of this machine", False),
        (2**22 + 1, processes.host(), processes.boot_id(), False),
        (2**70, processes.host(), processes.boot_id(), False),
        (2**22 + 1, "elsewhere", "?", True),
    ],
    ids=["this one", "the first", "of an earlier start", "none", "no number of one", "of another host"],
)
def test_who_may_be_alive(pid: int, host: str, boot: str, alive: bool) -> None:
    assert processes.may_be_alive(pid, host, boot) is alive


def test_a_later_process_of_the_same_number_is_not_taken_for_the_one_on_record() -> None:
    started = processes.process_start_time(os.getpid())
    assert started is not None
    assert processes.may_be_alive(os.getpid(), processes.host(), processes.boot_id(), started)
    assert not processes.may_be_alive(os.getpid(), processes.host(), processes.boot_id(), started - 1)
    assert processes.process_start_time(2**22 + 1) is None


def test_a_process_that_nobody_has_asked_after_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # It has ended, and is not asked after.
        os.kill(process.pid, 0)  # Still there, as a zombie.
        assert not processes.may_be_alive(process.pid, processes.host(), processes.boot_id())


def test_asking_does_not_keep_a_writer_out(collection: Path, waiting: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """`info` takes the lock for an instant to see whether it is free: here, when the writer makes its first attempt."""
    refusals = 0
    flock = fcntl.flock
    with (collection / layout.LOCK).open() as file:
        flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

        def attempt(fd: int, operation: int) -> None:
            nonlocal refusals
            try:
                flock(fd, operation)
            except BlockingIOError:
                refusals += 1
                flock(file, fcntl.LOCK_UN)
                raise

        monkeypatch.setattr(fcntl, "flock", attempt)
        taken = WriterLock(collection)
        taken.acquire()
        assert is_file_locked(collection)
        taken.release()
    assert refusals == 2, "of the writer by us, and of us by the writer"
    assert len(waiting.sleeps) == 1


def test_a_refusal_comes_at_once(collection: Path, waiting: Clock) -> None:
    with Writer(collection, "test"):
        waiting.sleeps.clear()
        with pytest.raises(LockedError):
            WriterLock(collection).acquire()
        assert 0 < sum(waiting.sleeps) <= 0.25


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which an attempt to take the lock waits."""
    clock = Clock(limit=60)
    monkeypatch.setattr("filelock._api.time", clock)
    return clock


@pytest.mark.slow
def test_two_that_make_the_same_collection(tmp_path: Path) -> None:
    """One makes it; the others find it locked or made. What is there is whole."""
    code = "import sys, imseek; imseek.create(sys.argv[1], encoder='fake').close()"
    command = [sys.executable, "-c", code, str(tmp_path / "new")]
    made = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate()[1] for process in made]
    assert sorted(process.returncode for process in made) == [0, 1, 1, 1]
    for error in filter(None, errors):
        assert "CollectionExistsError" in error or "LockedError" in error
    assert imseek.maintenance.verify(tmp_path / "new").ok


@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
def test_what_is_no_file_is_not_locked(collection: Path, kind: str) -> None:
    (collection / layout.LOCK).unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(collection / layout.LOCK)
    else:
        (collection / layout.LOCK).mkdir()
    with pytest.raises(CorruptCollectionError, match=f"{layout.LOCK} is {kind}"):
        WriterLock(collection).acquire()


def test_asking_says_why_the_lock_cannot_be_opened(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(collection, "test"):
        pass

    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StorageError, match="Too many open files"):
        is_file_locked(collection)


@pytest.mark.parametrize("stat", [None, *([state, *[b"1"] * 18, b"777"] for state in (b"S", b"Z", b"X"))])
def test_a_process_of_somebody_else_may_be_alive(stat: list[bytes] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking after it is refused, which says that it is there. Its state may be hidden, too (hidepid of proc)."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(processes, "_stat_of", lambda _: stat)
    assert processes.may_be_alive(5, processes.host(), processes.boot_id()) is (stat is None or stat[0] == b"S")
    assert processes.may_be_alive(5, processes.host(), processes.boot_id(), 777) is (stat is None or stat[0] == b"S")
    assert processes.may_be_alive(5, processes.host(), processes.boot_id(), 778) is (stat is None)


def test_a_machine_that_does_not_number_its_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a process on record counts as one of this start, which keeps its work from being swept."""

    def fail(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    assert processes.boot_id() == ""
    assert processes.may_be_alive(os.getpid(), processes.host(), "")
    assert not processes.may_be_alive(os.getpid(), processes.host(), "of another system")
