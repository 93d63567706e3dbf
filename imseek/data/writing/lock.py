"""Lock a collection for a single writer, on file systems whose locks can be trusted."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from pathlib import Path
from typing import Protocol

from imseek.data import layout
from imseek.data.files.collection_files import HARD_LINK, foreign_file_error, kind_of, permissions, stat_file
from imseek.data.files.system_errors import system_error, translate_os_errors
from imseek.data.user_files.safe_path import READ_FLAGS
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
#: Outlasts :func:`is_locked`, which takes the lock for an instant.
_WAIT_SECONDS = 0.2


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the type of the file system that holds ``path`` (Linux: from mountinfo); None where unknown."""
    try:
        lines = Path(mounts).read_bytes().splitlines()
    except OSError:
        return None
    target = os.path.realpath(os.fsencode(path))
    best, kind = -1, None
    for line in lines:
        left, _, right = line.partition(b" - ")
        # Spaces and the like are octal escapes; all else is raw bytes.
        point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), left.split()[4])
        inside = target == point or target.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= best:
            best, kind = len(point), right.split()[0].decode("ascii", "replace")
    return kind


def check_writable(root: Path, *, any_file_system: bool | None = None) -> None:
    """Raise ReadOnlyError for a read-only folder, or one on a network file system without a catalog on a server.

    ``any_file_system`` overrides whether the catalog is, or is going to be, on a server.
    """
    if any_file_system is None:
        any_file_system = layout.has_server_catalog(root)
    kind = None if any_file_system else file_system(root)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ReadOnlyError(
            f"{root} lies on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="keep the collection on a local disk, or its catalog on PostgreSQL (docs/postgres.md)",
        )
    if not os.access(root, os.W_OK):
        raise ReadOnlyError(f"{root} cannot be written", hint="searching it works; indexing does not")


class Lock(Protocol):
    """Exclusive right to write a collection: :class:`WriterLock`, or that of a server."""

    def acquire(self) -> None: ...

    def check(self) -> None: ...

    def release(self) -> None: ...


def lock_of(root: Path) -> Lock:
    """Return a collection's writer lock, not yet acquired. Raises ReadOnlyError."""
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres.lock import PostgresLock

        return PostgresLock(root)
    return WriterLock(root)


class WriterLock:
    """Exclusive right to write a collection, held until ``release`` or the end of the process."""

    def __init__(self, root: Path, *, any_file_system: bool | None = None) -> None:
        # Imported here, as below: the read path needs only `is_locked`.
        from filelock import FileLock

        check_writable(root, any_file_system=any_file_system)
        self._lock = FileLock(
            root / layout.LOCK, timeout=_WAIT_SECONDS, thread_local=False, mode=permissions(root)
        )
        self._root = root

    def acquire(self) -> None:
        """Acquire the lock. Raises LockedError, naming the process, while another writer works; StorageError.

        Raises CorruptCollectionError where the lock file is a link or not a regular file, since the lock would be taken
        elsewhere, or has a second name: acquiring the lock empties the file.
        """
        from filelock import Timeout

        path = self._root / layout.LOCK
        if (found := stat_file(self._root, layout.LOCK)) is not None:
            if not stat.S_ISREG(found.st_mode):
                raise foreign_file_error(self._root, layout.LOCK, kind_of(found))
            if found.st_nlink > 1:
                raise foreign_file_error(self._root, layout.LOCK, HARD_LINK)
        try:
            with translate_os_errors(path):
                self._lock.acquire()
                self._taken = path.stat()
        except Timeout:
            raise locked_error(self._root) from None

    def check(self) -> None:
        """Check that the locked folder is still in its place. Raises StorageError where it was moved or replaced."""
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
    """Whether a writer is active now. False where this process may not open the lock file.

    Raises StorageError.
    """
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres import catalog_reader

        return catalog_reader.is_locked(root)
    import fcntl

    try:
        fd = os.open(root / layout.LOCK, READ_FLAGS)
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
    """Build the error for a collection with an active writer, naming its process."""
    from imseek.data.catalog.runs import running_writer

    holder = running_writer(root) or "another process"
    return LockedError(f"{root} is being written by {holder}", hint="wait for it to end, then try again")


def host() -> str:
    return socket.gethostname()


def boot_id() -> str:
    """Return an id that changes at every boot, so that a process id from an earlier boot counts as dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where the system does not say.

    Together with pid and boot id it identifies one process. (Linux: field 22 of ``/proc/<pid>/stat``.)
    """
    fields = _stat_of(pid)
    return None if fields is None else int(fields[19])


def may_be_alive(pid: int, of_host: str, of_boot: str, started: int | None = None) -> bool:
    """Whether a process may still be running; always True for another host, where that is unknown.

    ``started`` is its :func:`process_start_time`, which tells it from a later process with the same pid. A zombie
    counts as ended.
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
    """Read the fields of ``/proc/<pid>/stat`` from the state (the third) on; None without such a file."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the name in brackets, which may contain anything.
    return line.rpartition(b")")[2].split()
