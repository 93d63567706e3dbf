"""Mark images that are further names of one file: removing such a link frees nothing."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from imseek.duplicates.results import Duplicate


def mark_symbolic_links(members: Iterable[Duplicate]) -> tuple[Duplicate, ...]:
    """Return the images of a group, with those whose file is a symbolic link marked as such.

    So are those in a folder that is one, if another image of the group is the same file. An image that is not a file
    on the disk is not a link.
    """
    files = [(member, _file_of(member)) for member in members]
    names = Counter(file for _, file in files)
    marked = []
    for member, file in files:
        symbolic = file is not None and (
            _is_symbolic(member) or (names[file] > 1 and os.path.realpath(_path_of(member)) != _path_of(member))
        )
        marked.append(replace(member, link="symbolic") if symbolic else member)
    return tuple(marked)


def mark_hard_links(members: Sequence[Duplicate]) -> tuple[Duplicate, ...]:
    """Return the images of a group, with those that are further names of the file of an earlier one marked as such."""
    files: set[tuple[int, int]] = set()
    marked = []
    for member in members:
        file = _file_of(member) if member.link is None else None
        marked.append(replace(member, link="hard") if file in files else member)
        if file is not None:
            files.add(file)
    return tuple(marked)


def _path_of(member: Duplicate) -> bytes:
    return b"" if member.place is None else member.place.path


def _is_symbolic(member: Duplicate) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(_path_of(member)).st_mode)
    except (OSError, ValueError):
        return False


def _file_of(member: Duplicate) -> tuple[int, int] | None:
    """Return the device and inode of an image's file; None if it is not a file, or is gone."""
    try:
        info = os.stat(_path_of(member))
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino
