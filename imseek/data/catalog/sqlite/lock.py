"""Lock a collection whose catalog is a file, for a single writer."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from imseek.data import layout
from imseek.data.catalog.running_writer import check_in_place, locked_error
from imseek.data.catalog.sqlite.catalog_file import connect_file
from imseek.data.files.collection_files import HARD_LINK, foreign_file_error, kind_of, permissions, stat_file
from imseek.data.files.system_errors import system_error, translate_os_errors
from imseek.data.files.write_check import check_writable
from imseek.data.user_files.safe_path import READ_FLAGS

#: Outlasts :func:`is_file_locked`, which takes the lock for an instant.
_WAIT_SECONDS = 0.2


class WriterLock:
    """Exclusive right to write a collection, from ``acquire`` until ``release`` or the end of the process."""

    def __init__(self, root: Path, *, any_file_system: bool = False) -> None:
        # Imported here, as below: the read path needs only `is_file_locked`.
        from filelock import FileLock

        check_writable(root, any_file_system=any_file_system)
        self._lock = FileLock(root / layout.LOCK, timeout=_WAIT_SECONDS, thread_local=False, mode=permissions(root))
        self._root = root

    def acquire(self) -> None:
        """Acquire the lock. Raises LockedError, naming the process, while another writer works; StorageError.

        Raises CorruptCollectionError where the lock file is a link or not a regular file, since the lock would be taken
        elsewhere, or has a second name: acquiring the lock empties the file.
        """
        from filelock import Timeout

        path = self._root / layout.LOCK
        if (info := stat_file(self._root, layout.LOCK)) is not None:
            if not stat.S_ISREG(info.st_mode):
                raise foreign_file_error(self._root, layout.LOCK, kind_of(info))
            if info.st_nlink > 1:
                raise foreign_file_error(self._root, layout.LOCK, HARD_LINK)
        try:
            with translate_os_errors(path):
                self._lock.acquire()
                self._file_stat = path.stat()
        except Timeout:
            raise locked_error(self._root, connect_file(self._root)) from None

    def check(self) -> None:
        """Check that the locked folder is still in its place. Raises StorageError where it was moved or replaced."""
        check_in_place(self._root, layout.LOCK, self._file_stat)

    def release(self) -> None:
        self._lock.release()


def is_file_locked(root: Path) -> bool:
    """Whether a writer has the lock file now. False where this process may not open it. Raises StorageError."""
    import fcntl

    try:
        fd = os.open(root / layout.LOCK, READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:  # A link: no writer takes a lock there.
            return False
        raise system_error(error, root / layout.LOCK) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
