"""Copy and clone users' files, including their times, modes and extended attributes.

System errors are raised unchanged (OSError).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from imseek.data.user_files.safe_path import BLOCK, READ_FLAGS, FolderEntry

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Prefix of extended attributes that users set freely (xattr(7)).
_USER_PREFIX: Final = "user."
#: Mode bits that are restored to an image file: never executable, set-uid, set-gid or sticky.
PICTURE_MODES: Final = 0o666
#: Linux: the ioctl by which one file shares the blocks of another.
_FICLONE: Final = 0x40049409
#: Errors of file systems that cannot share blocks, or not between these two files.
CANNOT_CLONE: Final = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})


def write_copy(source: FolderEntry, target: FolderEntry) -> None:
    """Copy bytes, times, mode and attributes into a new file, durable except for its name. Raises OSError."""
    source_fd = os.open(source.name, READ_FLAGS, dir_fd=source.folder)
    try:
        info = os.fstat(source_fd)
        target_fd = os.open(target.name, _NEW, 0o600, dir_fd=target.folder)
        try:
            while block := os.read(source_fd, BLOCK):
                _write(target_fd, block)
            _copy_attributes(source_fd, target_fd)
            set_mode_and_times(target_fd, info.st_mode, info.st_mtime_ns, info.st_atime_ns, (info.st_uid, info.st_gid))
            os.fsync(target_fd)
            # Drop the page cache where possible, so that reading it back reads the disk.
            if hasattr(os, "posix_fadvise"):
                with suppress(OSError):
                    os.posix_fadvise(target_fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def write_clone(source: FolderEntry, target: FolderEntry) -> None:
    """Create a file that shares the blocks of another. Raises OSError where the file system cannot do that."""
    source_fd = os.open(source.name, READ_FLAGS, dir_fd=source.folder)
    try:
        target_fd = os.open(target.name, _NEW, 0o600, dir_fd=target.folder)
        try:
            fcntl.ioctl(target_fd, _FICLONE, source_fd)
            os.fsync(target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def can_clone(source: FolderEntry, folder: int) -> bool:
    """Try whether a new file in an open folder can share the blocks of another file.

    The new file has no name, so that nothing stays behind. True where that cannot be tried. Raises OSError if the other
    file cannot be read.
    """
    if not hasattr(os, "O_TMPFILE"):
        return True
    source_fd = os.open(source.name, READ_FLAGS, dir_fd=source.folder)
    try:
        try:
            target_fd = os.open(b".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except OSError:
            return True
        try:
            fcntl.ioctl(target_fd, _FICLONE, source_fd)
        except OSError as error:
            return error.errno not in CANNOT_CLONE
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
    return True


def _write(fd: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]


def _copy_attributes(source_fd: int, target_fd: int) -> None:
    """Copy extended attributes that the target's file system accepts."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in filter(_is_ordinary, os.listxattr(source_fd)):
            with suppress(OSError):
                os.setxattr(target_fd, name, os.getxattr(source_fd, name))


def _is_ordinary(name: str) -> bool:
    """Whether the owner of a file can set this extended attribute: user attributes and access lists.

    ``security.*`` (capabilities, labels) and ``trusted.*`` belong to the system, which assigns its own to a new file.
    """
    return name.startswith(_USER_PREFIX) or name == "system.posix_acl_access"


def set_mode_and_times(
    fd: int, mode: int, mtime_ns: int, atime_ns: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Set mode and times of an open file, never set-uid and the like, and its owner if permitted. Raises OSError."""
    if owner is not None:
        with suppress(OSError):
            os.fchown(fd, *owner)
    os.fchmod(fd, mode & 0o777)
    os.utime(fd, ns=(mtime_ns if atime_ns is None else atime_ns, mtime_ns))


def read_attributes(entry: FolderEntry) -> dict[str, bytes]:
    """Read the ``user.*`` extended attributes of a regular file, empty where unsupported. Raises OSError."""
    if not hasattr(os, "listxattr"):
        return {}
    fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
    try:
        return {name: os.getxattr(fd, name) for name in _user_attributes(fd)}
    except OSError:
        return {}  # The file system has none.
    finally:
        os.close(fd)


def _user_attributes(fd: int) -> set[str]:
    return {name for name in os.listxattr(fd) if name.startswith(_USER_PREFIX)}


def restore_attributes(entry: FolderEntry, owner: tuple[int, int], attributes: Mapping[str, bytes]) -> None:
    """Restore the owner and extended attributes of a recreated regular file where permitted.

    Only ``user.*`` attributes are restored; others are not the user's to set. The owner only where it is the owner of
    the file's folder or the current user: a journal must not make a privileged user give files to anyone.
    """
    fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
    try:
        if owner[0] in (os.fstat(entry.folder).st_uid, os.geteuid()):
            with suppress(OSError):
                os.fchown(fd, *owner)
        if not hasattr(os, "listxattr"):
            return
        with suppress(OSError):
            for name in _user_attributes(fd) - set(attributes):
                with suppress(OSError):
                    os.removexattr(fd, name)
        for name, value in attributes.items():
            if name.startswith(_USER_PREFIX):
                with suppress(OSError):
                    os.setxattr(fd, name, value)
    finally:
        os.close(fd)


def restore_mode_and_mtime(entry: FolderEntry, mode: int, mtime_ns: int) -> None:
    """Restore the mtime of a regular file, and its read and write permissions.

    It is never made executable, set-uid or the like, and loses such bits where the file system has modes. Raises
    OSError.
    """
    fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
    try:
        info = os.fstat(fd)
        if stat.S_IMODE(info.st_mode) == mode & PICTURE_MODES and info.st_mtime_ns == mtime_ns:
            return
        with suppress(PermissionError):  # The file system has no modes.
            os.fchmod(fd, mode & PICTURE_MODES)
        os.utime(fd, ns=(info.st_atime_ns, mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)
