"""Translate the operating system's errors into imseek's."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imseek.errors import ReadOnlyError, StorageError, hint_of_os_error


@contextmanager
def translate_os_errors(path: Path | str) -> Iterator[None]:
    """Translate errors of the operating system in the body into StorageError (or ReadOnlyError), with the path.

    ``path`` (a string if it is a URL) is used where the error names no file, as for a write or an fsync. Arrow's
    OSErrors about damage, which have no errno, pass through.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise system_error(error, path) from error


def system_error(error: OSError, path: Path | str) -> StorageError:
    """Translate an error of the operating system or of remote storage."""
    name = error.filename if isinstance(error.filename, str | bytes) else path
    if isinstance(error.filename2, str | bytes) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        name = error.filename2  # In a copy, it is the destination that has no room.
    message = f"{os.fsdecode(name)}: {error.strerror or os.strerror(error.errno or 0)}"
    if error.errno == errno.EROFS:
        return ReadOnlyError(message, hint="searching works; indexing does not")
    return StorageError(message, hint=hint_of_os_error(error))
