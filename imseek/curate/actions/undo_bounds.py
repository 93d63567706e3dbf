"""The bounds of undoing: a file goes from a quarantine or a trash to a place in a source of the collection.

What a journal says is obeyed within them only, whoever wrote it (docs/decisions/0034-undo-journals.md).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from imseek.curate.actions.journal import Journal
from imseek.curate.actions.journal_records import Intent
from imseek.curate.actions.plans import FILE_KINDS
from imseek.curate.actions.precheck import LeftAloneError, explained, spot_of
from imseek.data import layout
from imseek.data.places import is_url
from imseek.data.quarantine import SourceAt, were_listed
from imseek.data.safe_path import SafePath
from imseek.data.sources import contains

_OUTSIDE: Final = "its place lies outside the sources of the collection"


class Bounds:
    """The bounds for the collection at ``root``, whose living ``sources`` these are, by id."""

    def __init__(self, root: Path, sources: Mapping[int, SourceAt]) -> None:
        self._root = root
        self._sources = {
            number: source
            for number, source in sources.items()
            if source.kind in FILE_KINDS and not is_url(source.root)
        }

    def locate(self, journal: Journal, intent: Intent) -> tuple[Intent, SafePath]:
        """The intent with its paths as they are now, since a source may have moved, and where its file belongs.

        Where its source was removed, a file that this user's imseek put away goes back to where it was, and one that
        somebody else's did to a place in another source only. Raises LeftAloneError.
        """
        with explained():
            source = self._sources.get(intent.source_id)
            if source is None:
                if not journal.begin.adopted and journal.is_signed:
                    return intent, SafePath.of(intent.full)
                return intent, self._in_any(intent.full)
            spot = self._in(source, intent.path)
            return _relocate(intent, source, spot), spot

    def _in(self, source: SourceAt, path: bytes) -> SafePath:
        """The place of a source's file. Raises LeftAloneError where it can have none by that path."""
        match source.kind:
            case "file":
                is_inside = not path
            case "list":  # Its files may lie anywhere: the catalog tells of them.
                is_inside = bool(were_listed(self._root, source.source_id, [path]))
            case _:
                is_inside = True  # A path that leads out of it is refused.
        if not is_inside:
            raise LeftAloneError(_OUTSIDE)
        return spot_of(source, path)

    def _in_any(self, full: bytes) -> SafePath:
        for source in self._sources.values():
            folder = source.kind in ("folder", "imagefolder")
            if folder and contains(source.root, full) and full != source.root:
                return self._in(source, os.path.relpath(full, source.root))
            if source.kind == "file" and full == source.root:
                return self._in(source, b"")
            if source.kind == "list" and were_listed(self._root, source.source_id, [full]):
                return self._in(source, full)
        raise LeftAloneError(_OUTSIDE)


def _relocate(intent: Intent, source: SourceAt, spot: SafePath) -> Intent:
    if spot.full == intent.full:
        return intent
    before, now = intent.full.removesuffix(b"/" + intent.path), source.root

    def moved(path: bytes) -> bytes:
        return now + path[len(before) :] if contains(before, path) else path

    to, base, keeper = moved(intent.to), moved(intent.to_base), moved(intent.keeper)
    return replace(intent, full=spot.full, to=to, to_base=base, keeper=keeper)


def quarantine_folder(intent: Intent) -> bytes:
    """The marked folder that a file was put away in."""
    default = os.path.join(intent.to_base, os.fsencode(layout.QUARANTINE))
    return default if intent.to.startswith(default + b"/") else intent.to_base


def is_marked(intent: Intent) -> bool:
    """Whether a file was put away in a folder that is marked as a quarantine: no link, by a marker that is none."""
    folder = quarantine_folder(intent)
    try:
        marker = os.lstat(os.path.join(folder, os.fsencode(layout.QUARANTINE_MARKER)))
        return stat.S_ISDIR(os.lstat(folder).st_mode) and stat.S_ISREG(marker.st_mode)
    except OSError:
        return False


def holds_something(folder: bytes) -> bool:
    if not os.path.isdir(folder):
        return False
    with os.scandir(folder) as entries:
        return next(entries, None) is not None
