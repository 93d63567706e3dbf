"""Files of users, found by name within an open folder: what lies there, and what is in it.

Links in a path are not followed, so that a folder which is swapped for a link on the way leads nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

#: A file is opened so: no link is followed, and a pipe does not hold who opens it.
READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Bytes that are read or written at a time.
BLOCK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class ChangingError(Exception):
    """A file is no regular file, changed while it was looked at, or a copy is not what it was copied from."""


class Spot(NamedTuple):
    """Where a file lies, or is to lie: a folder to start from, and a path below it through which no link leads."""

    base: bytes
    inner: bytes

    @classmethod
    def of(cls, path: bytes) -> Spot:
        """Of a path that is taken as it is: links may lead to its folder."""
        return cls(os.path.dirname(path), os.path.basename(path))

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
    fd = os.open(at.name, READING, dir_fd=at.folder)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def _content(fd: int) -> Content:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        raise ChangingError("it is not a regular file")
    digest = hashlib.sha256()
    while block := os.read(fd, BLOCK):
        digest.update(block)
    if not same(before, os.fstat(fd)):
        raise ChangingError("it changed while it was read")
    return Content(digest.digest(), before)


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two stats are of one file, unchanged."""
    return _key(one) == _key(other)


def bytes_key(info: os.stat_result) -> tuple[int, ...]:
    """The same as far as a new name leaves it: that is a change of its own (ctime)."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def _key(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def same_inode(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Whether both are names of one file."""
    return one is not None and other is not None and os.path.samestat(one, other)


class Unsynced:
    """Folders with new names in them, to be fsynced together before anybody relies on these: each once, at the end of
    the ``with``, or as soon as there are many. Raises OSError."""

    _MANY: Final = 64

    def __init__(self) -> None:
        self._folders: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Unsynced:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()

    def add(self, *places: At) -> None:
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


def sync(*places: At) -> None:
    """Make the names in these folders durable."""
    for folder in {place.folder for place in places}:
        os.fsync(folder)
