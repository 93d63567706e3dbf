"""Where processes that run in the background write: ``jobs/<pid>-<start of the process>.log`` in the collection.

The name says whose it is, so that no row has to. These files need not survive a power cut, and are no part of what
``verify`` judges; a purge removes those of processes that have ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from imseek.data import durable, layout
from imseek.data.lock import boot_id, host, may_be_alive
from imseek.data.system_errors import explained

#: How many logs of processes that have ended are kept.
KEPT = 50
_NAME = re.compile(r"(\d+)-(\d+)\.log")


def path_of(root: Path, pid: int, started: int | None) -> Path:
    """Where the process with this number, and start in clock ticks since boot, writes."""
    return root / layout.JOBS / f"{pid}-{started or 0}.log"


def new(root: Path) -> tuple[int, Path]:
    """An empty log for a process that is still to be started: its file descriptor, and its name until then.

    Raises StorageError, ReadOnlyError. Readable by its user only: it names files.
    """
    folder = root / layout.JOBS
    with explained(folder):
        folder.mkdir(exist_ok=True)
        durable.discard_files(_by_age(ended(root))[KEPT:])
        fd, name = tempfile.mkstemp(prefix="starting-", suffix=".log", dir=folder)
    return fd, Path(name)


def name_after(starting: Path, root: Path, pid: int, started: int | None) -> Path:
    """Give the log of :func:`new` the name of its process."""
    final = path_of(root, pid, started)
    with contextlib.suppress(FileNotFoundError):  # A purge came between: the process writes to nowhere.
        starting.rename(final)
    return final


def ended(root: Path) -> list[Path]:
    """Logs of processes that run no more (on this host), and of those that never were."""
    try:
        names = os.listdir(root / layout.JOBS)
    except FileNotFoundError:
        return []
    return [root / layout.JOBS / name for name in names if not _is_open(name)]


def _is_open(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and may_be_alive(int(found[1]), host(), boot_id(), int(found[2]) or None)


def _by_age(paths: list[Path]) -> list[Path]:
    """The youngest first."""
    ages = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            ages[path] = path.stat().st_mtime
    return sorted(ages, key=lambda path: ages[path], reverse=True)
