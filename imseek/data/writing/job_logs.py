"""Log files of background processes: ``jobs/<pid>-<start of the process>.log`` in the collection.

The name identifies the process, so no table has to. These files need not survive a power cut, and ``verify`` ignores
them; a purge removes those of processes that have ended.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

from imseek.data import layout
from imseek.data.files.collection_files import (
    find_files,
    find_strange_at_top,
    is_file,
    make_folder,
    refuse_strange,
    remove_files,
    stat_file,
)
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.processes import boot_id, host, may_be_alive
from imseek.data.trust import check_trusted
from imseek.errors import StorageError

#: Logs of ended processes to keep.
MAX_ENDED_LOGS = 50
_NAME = re.compile(r"(\d+)-(\d+)\.log")


def path_of(root: Path, pid: int, started: int | None) -> Path:
    """Return the log path for a process id and its start in clock ticks since boot."""
    return root / layout.JOBS / f"{pid}-{started or 0}.log"


def find(root: Path, pid: int, started: int | None) -> Path | None:
    """Find the log of a process; None where there is no such regular file."""
    path = path_of(root, pid, started)
    with contextlib.suppress(OSError, StorageError):
        return path if is_file(root, f"{layout.JOBS}/{path.name}") else None
    return None


def create_log(root: Path) -> tuple[int, Path]:
    """Create an empty log for a process about to start; returns its file descriptor and temporary name.

    Readable by its user only, since it names files. Raises StorageError, ReadOnlyError.
    """
    folder = root / layout.JOBS
    check_trusted(root, "writing to it")
    refuse_strange(root, find_strange_at_top(root))
    with translate_os_errors(folder):
        with contextlib.suppress(FileExistsError):
            make_folder(root, layout.JOBS)
        remove_files(root, _newest_first(root, find_ended_logs(root))[MAX_ENDED_LOGS:])
        fd, name = tempfile.mkstemp(prefix="starting-", suffix=".log", dir=folder)
    return fd, Path(name)


def rename_to_process(log: Path, root: Path, pid: int, started: int | None) -> Path:
    """Rename the log of :func:`create_log` after its process."""
    final = path_of(root, pid, started)
    with contextlib.suppress(FileNotFoundError):  # A purge removed the log meanwhile.
        log.rename(final)
    return final


def find_ended_logs(root: Path) -> list[str]:
    """List the logs of processes that have ended (on this host) or never started, as paths below the root."""
    paths = find_files(root, layout.JOBS).files
    return [path for path in paths if not _is_open(path.removeprefix(f"{layout.JOBS}/"))]


def _is_open(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and may_be_alive(int(match[1]), host(), boot_id(), int(match[2]) or None)


def _newest_first(root: Path, paths: list[str]) -> list[str]:
    ages = {path: info.st_mtime for path in paths if (info := stat_file(root, path)) is not None}
    return sorted(ages, key=lambda path: ages[path], reverse=True)
