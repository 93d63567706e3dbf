"""Files of the local disk: their stat, their bytes, and why they cannot be had."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import BinaryIO, Final

from imseek.data.catalog import FileStat
from imseek.errors import MediaError
from imseek.indexer.sources.base import MISSING, Content, Found
from imseek.media.decode import DEFAULT_LIMITS
from imseek.media.sidecar import MAX_BYTES, read_sidecar
from imseek.types import SkipReason

#: What the system says of a path that is not there; any other error leaves that open.
GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


def trouble_at(path: bytes) -> str | None:
    """Why a path cannot be looked at (``MISSING`` if it is not there), or None."""
    try:
        os.stat(path)
    except OSError as error:
        return MISSING if error.errno in GONE else str(error.strerror)
    return None


def is_empty(path: bytes) -> bool:
    """Whether there is nothing in a folder, as where a disk is not mounted; False for what is no folder."""
    try:
        with os.scandir(path) as listing:
            return next(listing, None) is None
    except OSError:
        return False


def file_stat(info: os.stat_result) -> FileStat:
    # An inode may use all 64 bits; the catalog's integers are signed.
    inode = info.st_ino & (2**63 - 1)
    return FileStat(info.st_size, info.st_mtime_ns, info.st_ctime_ns, inode, time.time_ns())


def find_file(path: bytes, full: bytes) -> Found:
    """The file at ``full`` as the picture at ``path``. Raises MediaError (``VANISHED``, ``NOT_A_FILE``), OSError."""
    try:
        info = os.stat(full)
    except OSError as error:
        if error.errno in GONE:
            raise MediaError(SkipReason.VANISHED, "it is not there any more") from error
        raise
    if not stat.S_ISREG(info.st_mode):
        raise MediaError(SkipReason.NOT_A_FILE, "neither a file nor a folder")
    return Found(path, file_stat(info))


def load_file(full: bytes, *, texts: bool = True) -> Content:
    """A picture with what lies beside it: ``a.txt`` and ``a.json`` for ``a.jpg``. Raises MediaError, OSError.

    ``texts`` is False where it is known that no text lies there.
    """
    data, seen = read_file(full)
    if not texts:
        return Content(data, seen)
    beside = read_sidecar(read_beside(full, b".txt", MAX_BYTES), read_beside(full, b".json", MAX_BYTES))
    return Content(data, seen, beside.caption, beside.extra)


def read_file(full: bytes) -> tuple[bytes, FileStat]:
    """The bytes of a regular file, and its stat. Raises OSError, and MediaError where it changed while it was read."""
    # Without O_NONBLOCK, a pipe put in the place of a file would hold the worker for ever.
    fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise MediaError(SkipReason.NOT_A_FILE, "neither a file nor a folder")
        if before.st_size > DEFAULT_LIMITS.max_bytes:
            raise MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {DEFAULT_LIMITS.max_bytes >> 20} MiB")
        seen = file_stat(before)
        data = file.read()
        after = os.fstat(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(
        data
    ) != after.st_size:
        raise MediaError(SkipReason.CHANGED, "it changed while it was read")
    return data, seen


def open_binary(path: bytes) -> BinaryIO:
    """A regular file to read from and to seek in. Raises MediaError (``NOT_A_FILE``), OSError."""
    # Without O_NONBLOCK, a pipe put in the place of a file would hold the reader for ever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise MediaError(SkipReason.NOT_A_FILE, "neither a file nor a folder")
    return file


def read_beside(picture: bytes, ending: bytes, limit: int) -> bytes | None:
    """A small file that lies beside a picture: ``a.txt``, else ``a.jpg.txt``, for ``a.jpg``; None above ``limit``."""
    for name in (os.path.splitext(picture)[0] + ending, picture + ending):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            if stat.S_ISREG(info.st_mode) and info.st_size <= limit:
                return file.read(limit)
    return None
