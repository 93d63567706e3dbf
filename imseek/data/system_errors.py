"""The operating system's errors in our terms."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imseek.errors import ReadOnlyError, StorageError

FREE_SPACE = "free some space; what was committed is safe"
MORE_FILES = "too many open files: raise the limit (ulimit -n)"

_HINTS = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EMFILE: MORE_FILES,
    errno.ENFILE: MORE_FILES,
    errno.EIO: "the disk may be failing; what was committed is safe",
    errno.ENOENT: "has it been moved or removed meanwhile? What was committed is safe",
}


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """What the system refuses in the body of the ``with``, as a StorageError (ReadOnlyError) that says where.

    ``path``, a URL where it is text, is the place where the system's error names none, as for a write or an fsync.
    Damage that Arrow finds, which is an OSError without a number, passes through.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise system_error(error, path) from error


def system_error(error: OSError, path: Path | str) -> StorageError:
    """What an error of the system, or of a store elsewhere, means for a user."""
    named = error.filename if isinstance(error.filename, str | bytes) else path
    if isinstance(error.filename2, str | bytes) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        named = error.filename2  # Of a copy: it is not the original that has no room.
    said = f"{os.fsdecode(named)}: {error.strerror or os.strerror(error.errno or 0)}"
    if error.errno == errno.EROFS:
        return ReadOnlyError(said, hint="searching it works; indexing does not")
    return StorageError(said, hint=hint_of(error))


def hint_of(error: OSError) -> str | None:
    """What to do about an error of the system. That of a store elsewhere has words of its own, and is no disk's."""
    number = error.errno or 0
    return _HINTS.get(number) if error.strerror in (None, os.strerror(number)) else None
