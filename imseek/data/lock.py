"""One writer per collection, and only where a lock can be trusted."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from imseek.data import layout
from imseek.errors import LockedError, ReadOnlyError

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


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Type of the file system that holds ``path`` (Linux: from mountinfo), None where it cannot be told."""
    try:
        lines = Path(mounts).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    target = os.path.realpath(path)
    best, kind = -1, None
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), right.split()[0]
    return kind


def check_writable(root: Path) -> None:
    """Raises ReadOnlyError for a folder that cannot be written, or lies on a network file system."""
    kind = file_system(root)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ReadOnlyError(
            f"{root} lies on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="keep the collection on a local disk, or its catalog on PostgreSQL (planned)",
        )
    if not os.access(root, os.W_OK):
        raise ReadOnlyError(f"{root} cannot be written", hint="searching it works; indexing does not")


class WriterLock:
    """The exclusive right to write a collection, held until ``release`` or the end of the process."""

    def __init__(self, root: Path) -> None:
        check_writable(root)
        self._lock = FileLock(root / layout.LOCK, timeout=0, thread_local=False)
        self._root = root

    def acquire(self) -> None:
        """Raises LockedError at once when another writer is at work; it names its process."""
        try:
            self._lock.acquire()
        except Timeout:
            # Imported here: the read path asks for `file_system` only.
            from imseek.data.reader import running_writer

            holder = running_writer(self._root) or "another process"
            raise LockedError(
                f"{self._root} is being written by {holder}", hint="wait for it to end, then try again"
            ) from None

    def release(self) -> None:
        self._lock.release()


def host() -> str:
    return socket.gethostname()


def boot_id() -> str:
    """Changes at every start of the machine, so that a process id of an earlier boot is known as dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
