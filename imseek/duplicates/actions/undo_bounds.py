"""Limits on undo: files move only from a quarantine or trash to a place inside a source of the collection.

A journal is followed only within these limits, whoever wrote it (docs/decisions/0033-undo-journals.md).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from imseek.data import layout
from imseek.data.catalog.place_paths import is_url
from imseek.data.catalog.quarantined_duplicates import LiveSource, find_past_places
from imseek.data.catalog.sources import contains
from imseek.data.user_files.safe_path import SafePath
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import Intent
from imseek.duplicates.actions.plans import FILE_SOURCE_KINDS
from imseek.duplicates.actions.precheck import LeftAloneError, safe_path_of, translate_errors
from imseek.types.indexing_runs import FOLDER_KINDS

_OUTSIDE: Final = "its place lies outside the sources of the collection"


class UndoBounds:
    """The limits for the collection at ``root`` with these live ``sources``, by id."""

    def __init__(self, root: Path, sources: Mapping[int, LiveSource]) -> None:
        self._root = root
        self._sources = {
            number: source
            for number, source in sources.items()
            if source.kind in FILE_SOURCE_KINDS and not is_url(source.root)
        }

    def locate(self, journal: Journal, intent: Intent) -> tuple[Intent, SafePath]:
        """Return the intent with paths updated in case its source has moved, and the place where its file belongs.

        If the source was removed, a file that this user's imseek put away returns to where it was; one put away by
        someone else's only to a place in another source. Raises LeftAloneError.
        """
        with translate_errors():
            source = self._sources.get(intent.source_id)
            if source is None:
                if not journal.begin.adopted and journal.is_signed:
                    return intent, SafePath.of(intent.full)
                return intent, self._path_in_any(intent.full)
            spot = self._in(source, intent.path)
            return _relocate(intent, source, spot), spot

    def _in(self, source: LiveSource, path: bytes) -> SafePath:
        """Return the place of a source's file. Raises LeftAloneError if the source cannot have that path."""
        match source.kind:
            case "file":
                is_inside = not path
            case "list":  # Its files may be anywhere: the catalog knows them.
                is_inside = bool(find_past_places(self._root, source.source_id, [path]))
            case _:
                is_inside = True  # SafePath rejects paths that lead outside.
        if not is_inside:
            raise LeftAloneError(_OUTSIDE)
        return safe_path_of(source, path)

    def _path_in_any(self, full: bytes) -> SafePath:
        for source in self._sources.values():
            folder = source.kind in FOLDER_KINDS
            if folder and contains(source.root, full) and full != source.root:
                return self._in(source, os.path.relpath(full, source.root))
            if source.kind == "file" and full == source.root:
                return self._in(source, b"")
            if source.kind == "list" and find_past_places(self._root, source.source_id, [full]):
                return self._in(source, full)
        raise LeftAloneError(_OUTSIDE)


def _relocate(intent: Intent, source: LiveSource, spot: SafePath) -> Intent:
    if spot.full == intent.full:
        return intent
    before, now = intent.full.removesuffix(b"/" + intent.path), source.root

    def new_path(path: bytes) -> bytes:
        return now + path[len(before) :] if contains(before, path) else path

    to, base, keeper = new_path(intent.to), new_path(intent.to_base), new_path(intent.keeper)
    return replace(intent, full=spot.full, to=to, to_base=base, keeper=keeper)


def quarantine_folder(intent: Intent) -> bytes:
    """Return the marked folder in which a file was put away."""
    default = os.path.join(intent.to_base, os.fsencode(layout.QUARANTINE))
    return default if intent.to.startswith(default + b"/") else intent.to_base


def has_quarantine_marker(intent: Intent) -> bool:
    """Return whether a file's quarantine folder is a real folder with a regular marker file, not links."""
    folder = quarantine_folder(intent)
    try:
        marker = os.lstat(os.path.join(folder, os.fsencode(layout.QUARANTINE_MARKER)))
        return stat.S_ISDIR(os.lstat(folder).st_mode) and stat.S_ISREG(marker.st_mode)
    except OSError:
        return False


def is_filled_folder(folder: bytes) -> bool:
    if not os.path.isdir(folder):
        return False
    with os.scandir(folder) as entries:
        return next(entries, None) is not None
