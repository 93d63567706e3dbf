"""Create a folder for unfinished output beside its destination, so that one rename publishes it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from imseek.data.files import durable_files
from imseek.errors import StorageError, hint_of_os_error

#: Seconds for which an unlocked folder is left alone: its creator may be about to lock it.
_GRACE_SECONDS: Final = 60.0


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Create a private folder in ``parent``, and remove it at the end with all that is left in it.

    If the process is killed, the folder stays; the next call with the same ``name`` removes it. Raises StorageError.
    """
    # A file name has at most 255 bytes, a character up to four.
    prefix = f".imseek-{os.fsencode(name)[:80].decode(errors='ignore')}-"
    try:
        _remove_leftovers(parent, prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        stack = ExitStack()
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, fd)
            stack.callback(os.close, os.dup(fd))  # Reserves descriptors: removing the folder opens two files.
        except OSError:
            stack.close()
            folder.rmdir()
            raise
    except OSError as error:  # Name the parent folder: users do not know the one in it.
        raise StorageError(f"{parent}: {error.strerror}", hint=hint_of_os_error(error)) from error
    try:
        with stack:
            with suppress(OSError):  # On a file system without locks, a leftover folder stays.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        durable_files.remove_tree(folder)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove folders that killed processes left."""
    for path in parent.iterdir():
        if not path.name.startswith(prefix) or path.is_symlink():
            continue
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_mtime < time.time() - _GRACE_SECONDS:
                    durable_files.remove_tree(path)
            finally:
                os.close(fd)
