"""Files of users: looked at, moved and copied so that nothing is ever replaced, and no byte is lost to a power cut.

Everything is done by name within an open folder, and links in its path are not followed, so that a folder which is
swapped for a link on the way leads nowhere else. A move is one rename that refuses to replace (``renameat2`` with
``RENAME_NOREPLACE``), else a second name and the end of the first. To another file system it is a copy, made durable,
read again and compared, and only then the end of the original.

Errors of the system are raised as they come (OSError): who moves many files tells of each.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RENAME_NOREPLACE: Final = 1
#: Linux: the ioctl by which one file shares the blocks of another.
_FICLONE: Final = 0x40049409
#: What the system says where it or the file system cannot rename without replacing.
_NO_RENAME: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
#: The same for a second name of a file.
_NO_LINK: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_BLOCK: Final = 1 << 20


class ChangingError(Exception):
    """A file is no regular file, changed while it was looked at, or a copy is not what it was copied from."""


class Spot(NamedTuple):
    """Where a file lies, or is to lie: a folder to start from, and a path below it through which no link leads."""

    base: bytes
    inner: bytes

    @property
    def full(self) -> bytes:
        return os.path.join(self.base, self.inner)


class At(NamedTuple):
    """A name in an open folder."""

    folder: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """A regular file as it was read: sha256 and stat."""

    sha256: bytes
    info: os.stat_result


@contextmanager
def opened(spot: Spot, *, make: bool = False) -> Iterator[At]:
    """The folder that a spot lies in. With ``make`` folders that are missing below its base are made, durably.

    Raises OSError: ENOTDIR or ELOOP where a link lies on the way.
    """
    *folders, name = spot.inner.split(b"/")
    fd = os.open(spot.base, _FOLDER)
    try:
        for folder in folders:
            below = _enter(fd, folder, make)
            os.close(fd)
            fd = below
        yield At(fd, name)
    finally:
        os.close(fd)


def _enter(fd: int, name: bytes, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
            os.fsync(fd)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)


def look(at: At) -> os.stat_result | None:
    """What lies there, a link itself and not what it leads to; None where nothing does."""
    try:
        return os.stat(at.name, dir_fd=at.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def read(at: At) -> Content:
    """The sha256 of a regular file. Raises OSError, ChangingError."""
    fd = os.open(at.name, _FILE, dir_fd=at.folder)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def _content(fd: int) -> Content:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        raise ChangingError("it is not a regular file")
    digest = hashlib.sha256()
    while block := os.read(fd, _BLOCK):
        digest.update(block)
    if not same(before, os.fstat(fd)):
        raise ChangingError("it changed while it was read")
    return Content(digest.digest(), before)


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two stats are of one file, unchanged."""
    return _key(one) == _key(other)


def _bytes_key(info: os.stat_result) -> tuple[int, ...]:
    """The same as far as a new name leaves it: that is a change of its own (ctime)."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def _key(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def same_inode(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Whether both are names of one file."""
    return one is not None and other is not None and os.path.samestat(one, other)


def sync(*places: At) -> None:
    """Make the names in these folders durable."""
    for folder in {place.folder for place in places}:
        os.fsync(folder)


def move(source: At, target: At, content: Content, part: bytes) -> None:
    """Move the file that was read as ``content``; ``part`` is a name for an unfinished copy in the target's folder.

    Raises FileExistsError where something lies at the target, ChangingError where another file lay at the source in
    the end (it is back there), OSError. Killed half-way, both names may be there, of one file or of two equal ones.
    """
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target, content.sha256, part)
        try:
            end_original(source, content)
        except ChangingError:
            drop(target)  # The original is there, with what was written to it since.
            raise
        return
    moved = look(target)
    if moved is None or _bytes_key(moved) != _bytes_key(content.info):
        _rename(target, source)
        raise ChangingError("it was changed, or another file took its place, just now")
    sync(target, source)


def _rename(source: At, target: At) -> None:
    """Never replaces. Raises OSError, with EXDEV also where the file system knows no way."""
    try:
        rename_noreplace(source, target)
        return
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.folder,
            dst_dir_fd=target.folder,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno in _NO_LINK:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from error
        raise
    sync(target)
    os.unlink(source.name, dir_fd=source.folder)


def rename_noreplace(source: At, target: At) -> None:
    """Raises OSError: FileExistsError where something lies at the target, ENOSYS where there is no such call."""
    call = getattr(_libc(), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(source.folder, source.name, target.folder, target.name, ctypes.c_uint(_RENAME_NOREPLACE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target.name))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def copy(source: At, target: At, sha256: bytes, part: bytes) -> None:
    """A copy with the times, mode and attributes of the source, durable, read again, and only then under its name.

    Raises FileExistsError, ChangingError where the copy has another sha256, OSError (ENOSPC).
    """
    unfinished = At(target.folder, part)
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=target.folder)  # Of an earlier one that was cut short.
    if look(target) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name))
    try:
        write_copy(source, unfinished)
        if read(unfinished).sha256 != sha256:
            raise ChangingError("its copy is not what was read before")
        _name(unfinished, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=target.folder)
        raise
    sync(target)


def write_copy(source: At, target: At) -> None:
    """The bytes, times, mode and attributes of a file in a new one, durable but for its name. Raises OSError."""
    reading = os.open(source.name, _FILE, dir_fd=source.folder)
    try:
        info = os.fstat(reading)
        writing = os.open(target.name, _NEW, 0o600, dir_fd=target.folder)
        try:
            while block := os.read(reading, _BLOCK):
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


def write_clone(source: At, target: At) -> None:
    """A new file that shares the blocks of another one. Raises OSError where the file system cannot do that."""
    reading = os.open(source.name, _FILE, dir_fd=source.folder)
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
        for name in os.listxattr(reading):
            with suppress(OSError):
                os.setxattr(writing, name, os.getxattr(reading, name))


def take_facts(
    fd: int, mode: int, mtime_ns: int, atime_ns: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Mode and times of an open file; its owner as far as we may. Raises OSError."""
    if owner is not None:
        with suppress(OSError):
            os.fchown(fd, *owner)
    os.fchmod(fd, stat.S_IMODE(mode))
    os.utime(fd, ns=(mtime_ns if atime_ns is None else atime_ns, mtime_ns))


def restore_facts(at: At, mode: int, mtime_ns: int) -> None:
    """Give a regular file the mode and mtime that it had. Raises OSError."""
    fd = os.open(at.name, _FILE, dir_fd=at.folder)
    try:
        info = os.fstat(fd)
        if stat.S_IMODE(info.st_mode) != stat.S_IMODE(mode) or info.st_mtime_ns != mtime_ns:
            take_facts(fd, mode, mtime_ns, info.st_atime_ns)
            os.fsync(fd)
    finally:
        os.close(fd)


def _name(unfinished: At, target: At) -> None:
    """Within one folder; where the file system knows no other way, it has been seen that nothing lies there."""
    try:
        _rename(unfinished, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if look(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name)) from None
        os.rename(unfinished.name, target.name, src_dir_fd=unfinished.folder, dst_dir_fd=target.folder)


def end_original(source: At, content: Content) -> None:
    """The end of a file of which there is a copy. Raises ChangingError where it is not what was copied any more."""
    now = look(source)
    if now is None or not same(now, content.info):
        raise ChangingError("it changed while it was copied")
    os.unlink(source.name, dir_fd=source.folder)
    sync(source)


def drop(at: At) -> None:
    """The end of a name that we have made, durably; where it is gone, nothing."""
    with suppress(FileNotFoundError):
        os.unlink(at.name, dir_fd=at.folder)
        sync(at)


def replace(target: At, new: At, kept: At, content: Content) -> None:
    """Put the file ``new`` in the place of the one that was read as ``content``, all in one folder.

    What lay there stays under the name ``kept`` until it is certain that it was not changed meanwhile; where it was,
    it is back, and ChangingError is raised. Killed half-way, see :func:`settle_replaced`. Raises OSError.
    """
    os.link(target.name, kept.name, src_dir_fd=target.folder, dst_dir_fd=kept.folder, follow_symlinks=False)
    sync(kept)
    if not same_inode(look(kept), content.info):
        drop(kept)
        raise ChangingError("another file took its place")
    os.rename(new.name, target.name, src_dir_fd=new.folder, dst_dir_fd=target.folder)
    sync(target)
    settle_replaced(target, new, kept, content.sha256)


def settle_replaced(target: At, new: At, kept: At, sha256: bytes) -> None:
    """Bring :func:`replace` to its end, or back to its beginning, from wherever it was left.

    Raises ChangingError where what was to be replaced has other bytes now: it lies there again.
    """
    old, now = look(kept), look(target)
    if old is not None:
        if same_inode(old, now):
            drop(kept)  # It had not been replaced yet.
        elif now is not None and read(kept).sha256 == sha256 == read(target).sha256:
            drop(kept)
        elif now is None or read(target).sha256 == sha256:
            os.rename(kept.name, target.name, src_dir_fd=kept.folder, dst_dir_fd=target.folder)
            sync(target)
            raise ChangingError("it changed while it was replaced")
        else:
            raise ChangingError(
                f"it changed, and what it was before lies beside it: {os.fsdecode(kept.name)}"
            )
    drop(new)
