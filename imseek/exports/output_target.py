"""Put an export in place: complete, even after a power cut, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from imseek.data.files import durable_files
from imseek.data.files.staging import staging_folder
from imseek.data.files.system_errors import translate_os_errors
from imseek.errors import UsageError

#: File in every exported folder that describes the export. Folders without it are never replaced.
RECORD: Final = ".imseek-export.json"


def check_target(target: Path, *, folder: bool, force: bool, collection: Path) -> None:
    """Check a target before long work. Raises UsageError if it exists, unless ``force`` allows replacing it."""
    real_path = Path(os.path.realpath(target))
    if real_path.is_relative_to(os.path.realpath(collection)):
        raise UsageError(f"{target} is inside the collection itself", hint="choose another place")
    if not target.parent.is_dir():
        raise UsageError(f"no folder {target.parent}")
    try:
        target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:  # Such as an overlong name.
        raise UsageError(f"{target}: {error.strerror}", hint="choose another name") from error
    if folder:
        _check_folder(target, force=force)
    elif target.is_dir():
        raise UsageError(f"{target} is a folder", hint="name a file")
    elif not force:
        raise UsageError(f"{target} is there already", hint="choose another name, or add --force")
    elif not target.is_file():
        raise UsageError(f"{target} is not a file", hint="choose another name")


def _check_folder(target: Path, *, force: bool) -> None:
    if not target.is_dir() or target.is_symlink():
        raise UsageError(f"{target} is not a folder", hint="name a new one")
    with translate_os_errors(target):
        empty = not os.listdir(target)
    if empty:
        return
    if not (target / RECORD).is_file():
        raise UsageError(f"{target} is not empty", hint="name a new or an empty folder")
    if not force:
        raise UsageError(f"{target} holds an export already", hint="choose another name, or add --force to replace it")


@contextmanager
def stage_export(
    target: Path, *, folder: bool, force: bool, collection: Path
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a temporary path beside ``target`` (an empty folder, or the name of a new file), and a function to finish.

    That function moves the output to ``target``; if it is not called, the output is removed. After a kill, the output
    stays in a hidden folder, which the next export of that name removes.

    Raises as :func:`check_target`, and StorageError.
    """
    check_target(target, folder=folder, force=force, collection=collection)
    with staging_folder(target.parent, f"export-{target.name}") as work:
        output, backup = work / "export", work / "before"

        def finish() -> None:
            with translate_os_errors(target):
                (durable_files.sync_tree if folder else durable_files.sync_file)(output)
                check_target(target, folder=folder, force=force, collection=collection)
                if folder and target.exists() and os.listdir(target):
                    target.rename(backup)  # A rename cannot replace a non-empty folder.
                try:
                    output.rename(target)
                except OSError:
                    if backup.exists():
                        backup.rename(target)
                    raise
                durable_files.sync_folder(target.parent)

        if folder:
            with translate_os_errors(target):
                output.mkdir()
        yield output, finish


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    with translate_os_errors(folder):
        (folder / RECORD).write_text(json.dumps(facts, indent=1) + "\n")


def measure_size(path: Path) -> tuple[int, int]:
    """Return the number of files, without the record, and their total size in bytes."""
    files = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file() and file.name != RECORD]
    return len(files), sum(file.stat().st_size for file in files)
