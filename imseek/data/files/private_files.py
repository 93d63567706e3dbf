"""Read and write private files in imseek's home: keys, and what the user has allowed.

A collection may come from anybody; the home records this user's decisions. So nothing that is read from a collection,
an archive or a plan may name a file there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Final

from imseek.data.files import durable_files
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.user_files.safe_path import READ_FLAGS
from imseek.errors import StorageError
from imseek.home import home, make_home

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES: Final = 1 << 24


def private_file(name: str) -> Path:
    """Return the path of the private file ``name`` in the home given by the environment."""
    return home(os.environ) / name


def read_private(name: str) -> bytes | None:
    """Read a private file, or return None. Revokes other users' access if its mode allows them any.

    Raises StorageError for a file that is not regular, is larger than 16 MiB, or cannot be read.
    """
    path = private_file(name)
    with translate_os_errors(path):
        try:
            fd = os.open(path, READ_FLAGS)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_BYTES:
                raise StorageError(f"{path} was not written by imseek", hint="move it away")
            if info.st_mode & _OTHERS:
                os.fchmod(fd, 0o600)
            return file.read(_MAX_BYTES)


def write_private(name: str, data: bytes) -> None:
    """Replace a private file atomically and durably, with mode 0600; create its folder in the home if missing.

    Raises StorageError.
    """
    path = private_file(name)
    with translate_os_errors(path):
        make_home(os.environ)
        path.parent.mkdir(0o700, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with translate_os_errors(path):
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.close(fd)
    durable_files.stage(part, methodcaller("write", data))
    durable_files.publish([(part, path)])


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Hold the lock of a private file while it is read, changed and written again. Raises StorageError."""
    from filelock import FileLock

    path = private_file(name)
    with translate_os_errors(path):
        make_home(os.environ)
        lock = FileLock(path.with_name(f".{name}.lock"), mode=0o600)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
