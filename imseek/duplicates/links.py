"""Mark images that are further names of one file: removing such a link frees nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicateReport


def mark_links(report: DuplicateReport) -> DuplicateReport:
    """Return a copy in which images of a group whose file an earlier one has, by a hard or symbolic link, are links.

    Only images of equal content are looked at on the disk; what is not a file there is none.
    """
    return replace(report, groups=tuple(map(mark_group_links, report.groups)))


def mark_group_links(group: DuplicateGroup) -> DuplicateGroup:
    """As :func:`mark_links`, for one group."""
    return replace(group, members=_mark(group.members))


def _mark(members: Sequence[Duplicate]) -> tuple[Duplicate, ...]:
    copies = Counter(member.content_hash for member in members)
    files: set[tuple[int, int]] = set()
    marked = []
    for member in members:
        file = _file_of(member) if copies[member.content_hash] > 1 else None
        marked.append(replace(member, link=True) if file in files else member)
        if file is not None:
            files.add(file)
    return tuple(marked)


def _file_of(member: Duplicate) -> tuple[int, int] | None:
    """Return what identifies the file of an image; None where it is no file, or is gone."""
    if member.place is None:
        return None
    try:
        found = os.stat(member.place.path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
