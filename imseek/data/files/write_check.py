"""Check that a collection's folder can be written: its file system's locks can be trusted, and it is not read-only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imseek.data import layout
from imseek.errors import ReadOnlyError

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
        mount_point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), left.split()[4])
        is_inside = target == mount_point or target.startswith(mount_point.rstrip(b"/") + b"/")
        if is_inside and len(mount_point) >= best:
            best, kind = len(mount_point), right.split()[0].decode("ascii", "replace")
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
            f"{root} is on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="keep the collection on a local disk, or its catalog on PostgreSQL (docs/postgres.md)",
        )
    if not os.access(root, os.W_OK):
        raise ReadOnlyError(f"{root} cannot be written", hint="searching works; indexing does not")
