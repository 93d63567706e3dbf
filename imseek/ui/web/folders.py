"""Folders of this machine, to complete a path while it is typed, with the rights of the user who started imseek."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Final

from imseek.indexer import EXCLUDED_FOLDERS, looks_like_picture
from imseek.ui.render.words import printable

#: Maximum number of names read of a folder, and of folders shown in it.
_MAX_SCANNED: Final = 50_000
_SHOWN: Final = 300
#: Seconds for counting the pictures in the folder and below.
_SECONDS: Final = 0.15


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder. ``path`` is None if it cannot be entered; ``note`` gives the reason, or other information."""

    name: str
    path: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The folder that contains ``typed``, and its folders that match the last part as a prefix.

    ``chosen`` is the path that can be indexed as typed, None if nothing is there. ``above`` is the parent folder.
    ``summary`` describes ``folder``: how many pictures lie in it and below, or why it cannot be read. ``pictures``
    is that number for ``chosen``, with ``more`` if there was no time to count all.
    """

    typed: str
    folder: str
    above: str | None
    chosen: str | None
    entries: tuple[Entry, ...] = ()
    summary: str = ""
    pictures: int = 0
    more: bool = False


def start_folder() -> str:
    """Return the folder to start in."""
    return _with_slash(Path.home())


def list_folder(typed: str, *, hidden: bool = False) -> FolderListing:
    """List the completions of a partly ``typed`` path, absolute or beginning with ``~``."""
    path = typed.strip()
    if path == "~" or path.startswith("~/"):
        path = start_folder() + path[2:]
    if "\0" in path or not path.startswith("/"):
        return FolderListing(
            typed, start_folder(), None, None, summary="Write the whole path, such as /home/me/Pictures"
        )
    partial_name = path.rpartition("/")[2]
    folder = path[: len(path) - len(partial_name)]
    above = _with_slash(Path(folder).parent) if folder.strip("/") else None
    choice = path if _is_there(path) else None
    try:
        names, more = _scan_folder(folder)
    except OSError as error:
        return FolderListing(typed, folder, above, choice, summary=_explain_error(error))
    matches = sorted(
        (
            entry
            for entry in names
            if _is_folder(entry)
            and (hidden or partial_name.startswith(".") or not _is_hidden(entry.name))
            and entry.name.casefold().startswith(partial_name.casefold())
        ),
        key=lambda entry: entry.name.casefold(),
    )
    # Each folder is counted once, whether for its own line, for the sum, or because it is the path itself.
    end = time.monotonic() + _SECONDS
    count = cache(partial(_count_below, end=end, hidden=hidden))
    entries = tuple(_entries(matches[:_SHOWN], count, end))
    direct, below, in_part = 0, 0, more
    for entry in names:
        if not entry.is_dir(follow_symlinks=False):
            direct += (hidden or not entry.name.startswith(".")) and looks_like_picture(os.fsencode(entry.name))
        elif hidden or not _is_hidden(entry.name):
            pictures, is_cut = count(entry.path)
            below, in_part = below + pictures, in_part or is_cut
    below += direct
    note = _pictures(direct, more)
    if below != direct or in_part > more:
        note += f", {below:,}{' or more' if in_part else ''} with the folders below"
    if len(matches) > _SHOWN:
        note += f"; {len(matches) - _SHOWN:,} more folders: type how their names begin"
    if partial_name:
        below, in_part = count(path) if choice else (0, False)
    return FolderListing(typed, folder, above, choice, entries, note, below, in_part)


def _with_slash(folder: Path) -> str:
    """Return the path with a trailing slash, so that its contents are listed."""
    return f"{folder}/" if folder.name else "/"


def _scan_folder(folder: str) -> tuple[list[os.DirEntry[str]], bool]:
    """Return the entries of a folder, and whether there are more than were read."""
    with os.scandir(folder) as scan:
        names = list(islice(scan, _MAX_SCANNED))
        return names, next(scan, None) is not None


def _count_below(path: str, end: float, *, hidden: bool) -> tuple[int, bool]:
    """Count the pictures in a folder and below until the time ``end``; also returns whether there may be more.

    Links are not followed, as in indexing. A file is one picture if it looks like one.
    """
    count, open_ = 0, [path]
    while open_:
        if time.monotonic() > end:
            return count, True
        try:
            with os.scandir(open_.pop()) as scan:
                for n, entry in enumerate(scan):
                    if n % 1000 == 999 and time.monotonic() > end:
                        return count, True
                    if entry.is_dir(follow_symlinks=False):
                        if hidden or not _is_hidden(entry.name):
                            open_.append(entry.path)
                    elif hidden or not entry.name.startswith("."):
                        count += looks_like_picture(os.fsencode(entry.name))
        except NotADirectoryError:
            count += looks_like_picture(os.fsencode(path))
        except OSError:  # Nobody may look into it, or it is gone.
            continue
    return count, False


def _entries(folders: list[os.DirEntry[str]], count: Callable[[str], tuple[int, bool]], end: float) -> Iterator[Entry]:
    for entry in folders:
        name = printable(entry.name)
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            yield Entry(name, None, "its name is not UTF-8: use `imseek index` in a terminal")
            continue
        notes = ["a link: passed over unless chosen itself"] if entry.is_symlink() else []
        if time.monotonic() < end:
            try:
                os.scandir(entry.path).close()
            except OSError as error:
                yield Entry(name, None, _explain_error(error))
                continue
            pictures, in_part = count(entry.path)  # Links are counted too: one can be chosen itself.
            if pictures:
                notes.insert(0, _pictures(pictures, in_part))
        yield Entry(name, _with_slash(Path(entry.path)), ", ".join(notes))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link into a folder without permission.
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or os.fsencode(name) in EXCLUDED_FOLDERS


def _is_there(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)


def _pictures(count: int, more: bool) -> str:
    return f"{count:,}{' or more' if more else ''} {'picture' if count == 1 and not more else 'pictures'}"


def _explain_error(error: OSError) -> str:
    reasons = {
        PermissionError: "you may not look into this folder",
        FileNotFoundError: "there is no such folder",
        NotADirectoryError: "that is a file",
    }
    return reasons.get(type(error)) or (error.strerror or str(error))
