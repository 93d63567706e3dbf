"""Open files below a folder without following links, even if the folders on the way change meanwhile.

Each step of a path is one ``openat`` with ``O_NOFOLLOW``. So neither a name from somebody else's catalog or archive,
nor a folder that is swapped for a link at the last moment, leads out of the folder that a path starts from.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from imseek.errors import UnsafePathError

#: Flags to open a file: no link is followed, and a pipe does not block.
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Bytes that are read or written at a time.
BLOCK: Final = 1 << 20
#: Flags to open a folder.
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Parts of a path that lead elsewhere, or nowhere. An absolute path begins with an empty part.
_UNSAFE_PARTS: Final = frozenset({b"", b".", b".."})


class ChangingError(Exception):
    """A file is not regular, changed while it was read, or a copy differs from its original."""


@dataclass(frozen=True, slots=True)
class SafePath:
    """Path of a file below a folder: ``base`` may contain links, ``inner`` is walked without following any.

    Both are bytes. Raises UnsafePathError where ``inner`` is absolute, empty, or has a part that is empty, ``.`` or
    ``..``, since such a path could name something outside the base; and for a NUL byte, which no path can contain.
    """

    base: bytes
    inner: bytes

    def __post_init__(self) -> None:
        check_parts(self.inner)
        if b"\0" in self.base:
            raise UnsafePathError(f"{os.fsdecode(self.base)!r} is not a folder")

    @classmethod
    def of(cls, path: bytes) -> SafePath:
        """Return the path of a file in its own folder, whose path may contain links."""
        return cls(os.path.dirname(path), os.path.basename(path))

    @property
    def full(self) -> bytes:
        return os.path.join(self.base, self.inner)


def check_parts(inner: bytes) -> list[bytes]:
    """Split a relative path into its parts. Raises UnsafePathError as :class:`SafePath`."""
    parts = inner.split(b"/")
    if b"\0" in inner or not _UNSAFE_PARTS.isdisjoint(parts):
        raise UnsafePathError(f"{os.fsdecode(inner)!r} is not a path below a folder")
    return parts


class FolderEntry(NamedTuple):
    """A name in an open folder: the folder's descriptor and the name in bytes."""

    folder: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """sha256 and stat of a regular file when it was read."""

    sha256: bytes
    info: os.stat_result


def check_absolute(path: bytes) -> None:
    """Raise UnsafePathError unless a path is absolute, below ``/``, and without empty parts, ``.``, ``..`` and NULs."""
    if not path.startswith(b"/"):
        raise UnsafePathError(f"{os.fsdecode(path)!r} is not an absolute path")
    check_parts(path[1:])


@contextmanager
def open_parent(path: SafePath, *, make: bool = False) -> Iterator[FolderEntry]:
    """Open the folder that contains a file. With ``make``, create missing folders below the base durably.

    Raises OSError: ENOTDIR or ELOOP where a link lies on the way.
    """
    fd, name = enter_parent(path.base, check_parts(path.inner), make=make)
    try:
        yield FolderEntry(fd, name)
    finally:
        os.close(fd)


def enter_parent(base: bytes | str, parts: Sequence[bytes], *, make: bool = False) -> tuple[int, bytes]:
    """Return the descriptor of the folder that contains the last of ``parts`` below ``base``, and that last part.

    The caller closes the descriptor. Raises OSError as :func:`open_parent`.
    """
    fd = os.open(base, FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            below = _enter(fd, part, make)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd, parts[-1]


def open_regular(entry: FolderEntry) -> int:
    """Open a regular file for reading; the caller closes the descriptor.

    Raises OSError (ELOOP for a link), and ChangingError for any other kind of file, such as a pipe, which would block,
    or a socket.
    """
    try:
        fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
    except OSError as error:
        if error.errno == errno.ENXIO:  # A socket, or a device without a driver: no file either.
            raise ChangingError("it is not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ChangingError("it is not a regular file")
    return fd


def _enter(fd: int, name: bytes, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
            os.fsync(fd)
    return os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fd)


def stat_entry(entry: FolderEntry) -> os.stat_result | None:
    """Return the stat of an entry, without following a link; None where there is none."""
    try:
        return os.stat(entry.name, dir_fd=entry.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def read_head(entry: FolderEntry, size: int) -> bytes:
    """Read up to ``size`` bytes from the beginning of a regular file. Raises OSError, ChangingError."""
    fd = open_regular(entry)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def read_content(entry: FolderEntry) -> Content:
    """Hash a regular file with sha256. Raises OSError, ChangingError."""
    fd = open_regular(entry)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def _content(fd: int) -> Content:
    info = os.fstat(fd)
    digest = hashlib.sha256()
    while block := os.read(fd, BLOCK):
        digest.update(block)
    if not is_unchanged(info, os.fstat(fd)):
        raise ChangingError("it changed while it was read")
    return Content(digest.digest(), info)


def is_unchanged(first: os.stat_result, second: os.stat_result) -> bool:
    """Whether two stats show the same, unchanged file."""
    return stat_key(first) == stat_key(second)


def stat_key_without_ctime(info: os.stat_result) -> tuple[int, ...]:
    """Return a stat key that ignores ctime, which renaming changes."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def stat_key(info: os.stat_result) -> tuple[int, ...]:
    """Return a key that differs between files, and changes when a file is written to."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def is_same_inode(first: os.stat_result | None, second: os.stat_result | None) -> bool:
    """Whether both stats are of the same file, under any names."""
    return first is not None and second is not None and os.path.samestat(first, second)


class UnsyncedFolders:
    """Collect folders with new names and fsync each once: at the end of the ``with``, or as soon as there are many.

    Raises OSError.
    """

    _MANY: Final = 64

    def __init__(self) -> None:
        self._folders: dict[tuple[int, int], int] = {}

    def __enter__(self) -> UnsyncedFolders:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()

    def add(self, *places: FolderEntry) -> None:
        for place in places:
            info = os.fstat(place.folder)
            if (key := (info.st_dev, info.st_ino)) not in self._folders:
                self._folders[key] = os.dup(place.folder)
        if len(self._folders) > self._MANY:
            self.sync()

    def sync(self) -> None:
        folders, self._folders = self._folders, {}
        try:
            for fd in folders.values():
                os.fsync(fd)
        finally:
            for fd in folders.values():
                os.close(fd)


def remove_empty_folders(base: bytes, inner: bytes) -> None:
    """Remove the folders of the path ``inner`` below ``base``, from the deepest up to the first one that is not empty.

    ``base`` itself stays, and no link is followed below it. Folders that are gone or cannot be removed are ignored.
    Raises UnsafePathError as :class:`SafePath`.
    """
    parts = check_parts(inner) if inner else []
    with suppress(OSError):
        while parts:
            with open_parent(SafePath(base, b"/".join(parts))) as entry:
                os.rmdir(entry.name, dir_fd=entry.folder)
            parts.pop()


def sync_entries(*places: FolderEntry) -> None:
    """Fsync these folders, which makes the names in them durable."""
    for folder in {place.folder for place in places}:
        os.fsync(folder)
