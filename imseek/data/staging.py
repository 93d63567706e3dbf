"""A folder for unfinished work beside where its result will lie, so that one rename brings that to its place."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from imseek.data import durable_files
from imseek.data.system_errors import hint_of
from imseek.errors import StorageError

#: Seconds for which a folder that nobody holds is left alone: its maker may just be about to.
_YOUNG: Final = 60.0


@contextmanager
def workshop(parent: Path, name: str) -> Iterator[Path]:
    """A new folder in ``parent``, for its user only, that goes at the end with all that is left in it.

    Killed, it stays, and the next one of the same ``name`` removes it. Raises StorageError.
    """
    # A name has 255 bytes at most, and a character up to four.
    prefix = f".imseek-{os.fsencode(name)[:80].decode(errors='ignore')}-"
    try:
        _clear(parent, prefix)
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        held = ExitStack()
        try:
            fd = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, fd)
            held.callback(os.close, os.dup(fd))  # To remove it two files are opened, where no more may be.
        except OSError:
            held.close()
            made.rmdir()
            raise
    except OSError as error:  # Told of the folder: nobody knows of what was to be in it.
        raise StorageError(f"{parent}: {error.strerror}", hint=hint_of(error)) from error
    try:
        with held:
            with suppress(OSError):  # Some file systems know no locks: there it is left where it is.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield made
    finally:
        durable_files.remove_tree(made)


def _clear(parent: Path, prefix: str) -> None:
    """Remove what killed processes left."""
    for path in parent.iterdir():
        if not path.name.startswith(prefix) or path.is_symlink():
            continue
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_mtime < time.time() - _YOUNG:
                    durable_files.remove_tree(path)
            finally:
                os.close(fd)
