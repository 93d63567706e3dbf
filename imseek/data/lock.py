"""One writer per collection, and only where a lock can be trusted."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from pathlib import Path
from typing import Protocol

from imseek.data import layout
from imseek.data.collection_files import HARD_LINK, kind_of, not_ours, permissions, stat_file
from imseek.data.safe_path import READING
from imseek.data.system_errors import explained, system_error
from imseek.errors import LockedError, ReadOnlyError, StorageError

#: File systems whose locks and fsyncs cross a network. SQLite's documentation warns of the same ones.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.glusterfs",
        "fuse.gcsfuse",
        "fuse.davfs",
        "davfs",
    ]
)
#: Long enough to outlast :func:`is_locked`, which takes the lock for an instant.
_WAIT_SECONDS = 0.2


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Type of the file system that holds ``path`` (Linux: from mountinfo), None where it cannot be told."""
    try:
        lines = Path(mounts).read_bytes().splitlines()
    except OSError:
        return None
    target = os.path.realpath(os.fsencode(path))
    best, kind = -1, None
    for line in lines:
        left, _, right = line.partition(b" - ")
        # Spaces and the like are written as octal numbers; everything else is the raw bytes.
        point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), left.split()[4])
        inside = target == point or target.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= best:
            best, kind = len(point), right.split()[0].decode("ascii", "replace")
    return kind


def check_writable(root: Path, *, any_file_system: bool | None = None) -> None:
    """Raises ReadOnlyError for a folder that cannot be written, or lies on a network file system, unless a server has
    its catalog; ``any_file_system`` says whether one is going to have it."""
    if any_file_system is None:
        any_file_system = layout.is_elsewhere(root)
    kind = None if any_file_system else file_system(root)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ReadOnlyError(
            f"{root} lies on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="keep the collection on a local disk, or its catalog on PostgreSQL (docs/postgres.md)",
        )
    if not os.access(root, os.W_OK):
        raise ReadOnlyError(f"{root} cannot be written", hint="searching it works; indexing does not")


class Lock(Protocol):
    """The exclusive right to write a collection: :class:`WriterLock`, or that of a server."""

    def acquire(self) -> None: ...

    def check(self) -> None: ...

    def release(self) -> None: ...


def lock_of(root: Path) -> Lock:
    """The writer's lock of a collection, not taken yet. Raises ReadOnlyError."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres.lock import PostgresLock

        return PostgresLock(root)
    return WriterLock(root)


class WriterLock:
    """The exclusive right to write a collection, held until ``release`` or the end of the process."""

    def __init__(self, root: Path, *, any_file_system: bool | None = None) -> None:
        # Imported here, as below: the read path asks for `is_locked` only.
        from filelock import FileLock

        check_writable(root, any_file_system=any_file_system)
        self._lock = FileLock(
            root / layout.LOCK, timeout=_WAIT_SECONDS, thread_local=False, mode=permissions(root)
        )
        self._root = root

    def acquire(self) -> None:
        """Raises LockedError when another writer is at work; it names its process. StorageError.

        CorruptCollectionError where a link or anything but a file has its name, since the lock would be taken there, or
        a file that has another name too: taking the lock empties it.
        """
        from filelock import Timeout

        path = self._root / layout.LOCK
        if (found := stat_file(self._root, layout.LOCK)) is not None:
            if not stat.S_ISREG(found.st_mode):
                raise not_ours(self._root, layout.LOCK, kind_of(found))
            if found.st_nlink > 1:
                raise not_ours(self._root, layout.LOCK, HARD_LINK)
        try:
            with explained(path):
                self._lock.acquire()
                self._taken = path.stat()
        except Timeout:
            raise locked_error(self._root) from None

    def check(self) -> None:
        """Raises StorageError where the folder that was locked no longer lies there: it may be another one now."""
        try:
            there = (self._root / layout.LOCK).stat()
        except OSError:
            there = None
        if there is None or not os.path.samestat(there, self._taken):
            raise StorageError(
                f"{self._root} was moved or removed while it was being written",
                hint="what was committed is in it, wherever it lies now",
            )

    def release(self) -> None:
        self._lock.release()


def is_locked(root: Path) -> bool:
    """Whether a writer is at work now; one that this process has no right to ask after counts as none.

    Raises StorageError.
    """
    if layout.is_elsewhere(root):
        from imseek.data.postgres import catalog_reader

        return catalog_reader.is_locked(root)
    import fcntl

    try:
        fd = os.open(root / layout.LOCK, READING)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:  # A link: no writer takes a lock there.
            return False
        raise system_error(error, root / layout.LOCK) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def locked_error(root: Path) -> LockedError:
    """For when another writer is at work: it names its process."""
    from imseek.data.runs import running_writer

    holder = running_writer(root) or "another process"
    return LockedError(f"{root} is being written by {holder}", hint="wait for it to end, then try again")


def host() -> str:
    return socket.gethostname()


def boot_id() -> str:
    """Changes at every start of the machine, so that a process id of an earlier boot is known as dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None where the system does not tell.

    With the number and the boot, this is one process and no later one. (Linux: field 22 of ``/proc/<pid>/stat``.)
    """
    fields = _stat_of(pid)
    return None if fields is None else int(fields[19])


def may_be_alive(pid: int, of_host: str, of_boot: str, started: int | None = None) -> bool:
    """Whether a process may still run: for one of another host that cannot be told.

    ``started`` is what :func:`process_started` said of it, so that a later process of the same number is not taken
    for it. One that has ended, and whose parent has not asked after it yet, runs no more.
    """
    if of_host != host():
        return True
    if of_boot != boot_id():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat_of(pid)
    if fields is None:
        return True
    return fields[0] not in (b"Z", b"X") and started in (None, int(fields[19]))


def _stat_of(pid: int) -> list[bytes] | None:
    """What Linux says of a process, from its state (the third field) on; None where there is no such file."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the name, in brackets, which may hold anything.
    return line.rpartition(b")")[2].split()
