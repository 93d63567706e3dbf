"""Copies and clones of users' files, with what the system knows of them beside their bytes.

Errors of the system are raised as they come (OSError).
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from imseek.data.safe_path import BLOCK, READING, FolderEntry

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Extended attributes that users give to files of theirs, as they like (xattr(7)).
_USERS: Final = "user."
#: Of a mode, what a picture is given back: never executable, set-uid, set-gid or sticky.
PICTURE_MODES: Final = 0o666
#: Linux: the ioctl by which one file shares the blocks of another.
_FICLONE: Final = 0x40049409


def write_copy(source: FolderEntry, target: FolderEntry) -> None:
    """The bytes, times, mode and attributes of a file in a new one, durable but for its name. Raises OSError."""
    reading = os.open(source.name, READING, dir_fd=source.folder)
    try:
        info = os.fstat(reading)
        writing = os.open(target.name, _NEW, 0o600, dir_fd=target.folder)
        try:
            while block := os.read(reading, BLOCK):
                _write(writing, block)
            _take_attributes(reading, writing)
            take_facts(writing, info.st_mode, info.st_mtime_ns, info.st_atime_ns, (info.st_uid, info.st_gid))
            os.fsync(writing)
            # What was cached is dropped where the system does that, so that reading it again reads the disk.
            if hasattr(os, "posix_fadvise"):
                with suppress(OSError):
                    os.posix_fadvise(writing, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def write_clone(source: FolderEntry, target: FolderEntry) -> None:
    """A new file that shares the blocks of another one. Raises OSError where the file system cannot do that."""
    reading = os.open(source.name, READING, dir_fd=source.folder)
    try:
        writing = os.open(target.name, _NEW, 0o600, dir_fd=target.folder)
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
            os.fsync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _write(fd: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]


def _take_attributes(reading: int, writing: int) -> None:
    """Extended attributes, as far as the other file system takes them."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in filter(_is_ordinary, os.listxattr(reading)):
            with suppress(OSError):
                os.setxattr(writing, name, os.getxattr(reading, name))


def _is_ordinary(name: str) -> bool:
    """Whether an extended attribute is one that the owner of a picture can set: their own ones, and access lists.

    ``security.*`` (capabilities, labels) and ``trusted.*`` are the system's, which gives a new file its own.
    """
    return name.startswith(_USERS) or name == "system.posix_acl_access"


def take_facts(
    fd: int, mode: int, mtime_ns: int, atime_ns: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Mode and times of an open file, but never set-uid and the like; its owner as far as we may. Raises OSError."""
    if owner is not None:
        with suppress(OSError):
            os.fchown(fd, *owner)
    os.fchmod(fd, mode & 0o777)
    os.utime(fd, ns=(mtime_ns if atime_ns is None else atime_ns, mtime_ns))


def attributes(at: FolderEntry) -> dict[str, bytes]:
    """The extended attributes ``user.*`` of a regular file, where there are such. Raises OSError."""
    if not hasattr(os, "listxattr"):
        return {}
    fd = os.open(at.name, READING, dir_fd=at.folder)
    try:
        return {name: os.getxattr(fd, name) for name in _user_attributes(fd)}
    except OSError:
        return {}  # The file system knows none.
    finally:
        os.close(fd)


def _user_attributes(fd: int) -> set[str]:
    return {name for name in os.listxattr(fd) if name.startswith(_USERS)}


def restore_attributes(at: FolderEntry, owner: tuple[int, int], wanted: Mapping[str, bytes]) -> None:
    """Give a regular file that was made anew the owner and extended attributes that it had, as far as we may.

    Of the attributes, those called ``user.*``: no others are anybody's to give. The owner only where it is the one of
    the folder that the file lies in: a privileged user must not be made to give files to whomever a journal names.
    """
    fd = os.open(at.name, READING, dir_fd=at.folder)
    try:
        if owner[0] in (os.fstat(at.folder).st_uid, os.geteuid()):
            with suppress(OSError):
                os.fchown(fd, *owner)
        if not hasattr(os, "listxattr"):
            return
        with suppress(OSError):
            for name in _user_attributes(fd) - set(wanted):
                with suppress(OSError):
                    os.removexattr(fd, name)
        for name, value in wanted.items():
            if name.startswith(_USERS):
                with suppress(OSError):
                    os.setxattr(fd, name, value)
    finally:
        os.close(fd)


def restore_facts(at: FolderEntry, mode: int, mtime_ns: int) -> None:
    """Give a regular file the mtime that it had, and of its mode what a picture needs: who may read and write it.

    It is never made executable, set-uid or the like, and where it is so it ceases to be, if the file system knows
    modes. Raises OSError.
    """
    fd = os.open(at.name, READING, dir_fd=at.folder)
    try:
        info = os.fstat(fd)
        if stat.S_IMODE(info.st_mode) == mode & PICTURE_MODES and info.st_mtime_ns == mtime_ns:
            return
        with suppress(PermissionError):  # On a file system without modes.
            os.fchmod(fd, mode & PICTURE_MODES)
        os.utime(fd, ns=(info.st_atime_ns, mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)
