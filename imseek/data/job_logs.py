"""Where processes that run in the background write: ``jobs/<pid>-<start of the process>.log`` in the collection.

The name says whose it is, so that no row has to. These files need not survive a power cut, and are no part of what
``verify`` judges; a purge removes those of processes that have ended.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

from imseek.data import layout
from imseek.data.collection_files import (
    check_top,
    find_files,
    is_file,
    make_folder,
    refuse_strange,
    remove_files,
    stat_file,
)
from imseek.data.lock import boot_id, host, may_be_alive
from imseek.data.system_errors import explained
from imseek.data.trust import check_trusted
from imseek.errors import StorageError

#: How many logs of processes that have ended are kept.
KEPT = 50
_NAME = re.compile(r"(\d+)-(\d+)\.log")


def path_of(root: Path, pid: int, started: int | None) -> Path:
    """Where the process with this number, and start in clock ticks since boot, writes."""
    return root / layout.JOBS / f"{pid}-{started or 0}.log"


def find(root: Path, pid: int, started: int | None) -> Path | None:
    """The log of that process; None where it has none, or something that is no file has its name."""
    path = path_of(root, pid, started)
    with contextlib.suppress(OSError, StorageError):
        return path if is_file(root, f"{layout.JOBS}/{path.name}") else None
    return None


def new(root: Path) -> tuple[int, Path]:
    """An empty log for a process that is still to be started: its file descriptor, and its name until then.

    Raises StorageError, ReadOnlyError. Readable by its user only: it names files.
    """
    folder = root / layout.JOBS
    check_trusted(root, "writing to it")
    refuse_strange(root, check_top(root))
    with explained(folder):
        with contextlib.suppress(FileExistsError):
            make_folder(root, layout.JOBS)
        remove_files(root, _by_age(root, ended(root))[KEPT:])
        fd, name = tempfile.mkstemp(prefix="starting-", suffix=".log", dir=folder)
    return fd, Path(name)


def name_after(starting: Path, root: Path, pid: int, started: int | None) -> Path:
    """Give the log of :func:`new` the name of its process."""
    final = path_of(root, pid, started)
    with contextlib.suppress(FileNotFoundError):  # A purge came between: the process writes to nowhere.
        starting.rename(final)
    return final


def ended(root: Path) -> list[str]:
    """Logs of processes that run no more (on this host), and of those that never were: paths below the root."""
    found = find_files(root, layout.JOBS).files
    return [path for path in found if not _is_open(path.removeprefix(f"{layout.JOBS}/"))]


def _is_open(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and may_be_alive(int(found[1]), host(), boot_id(), int(found[2]) or None)


def _by_age(root: Path, paths: list[str]) -> list[str]:
    """The youngest first."""
    ages = {path: found.st_mtime for path in paths if (found := stat_file(root, path)) is not None}
    return sorted(ages, key=lambda path: ages[path], reverse=True)
