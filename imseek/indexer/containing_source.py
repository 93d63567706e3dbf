"""Find the source that a path belongs to, as a scan would, and what a run must scan for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imseek.data import layout
from imseek.data.catalog.path_lookup import LocalSource
from imseek.data.catalog.place_paths import CONTAINER_KINDS
from imseek.indexer.debounce import below
from imseek.indexer.sources import filter_of, open_source, options_of
from imseek.indexer.sources.base import FoundImage
from imseek.indexer.sources.folder import path_below, place_in, reaches


@dataclass(frozen=True, slots=True)
class SourcePath:
    """The source that contains a path. With ``is_container`` (archives, tables) it can only be scanned as a whole."""

    source: LocalSource
    is_container: bool


def find_source(sources: Sequence[LocalSource], path: bytes) -> SourcePath | None:
    """Return the innermost source whose scan would reach ``path``, or None.

    Only names and links are considered, not the content.
    """
    holders = [source for source in sources if below(source.root, path) and _scan_reaches(source, path)]
    if not holders:
        return None
    source = max(holders, key=lambda source: len(source.root))
    return SourcePath(source, source.kind in CONTAINER_KINDS)


def pictures_below(place: SourcePath, folder: bytes) -> Iterator[bytes]:
    """Yield the absolute paths of what a scan would find in a folder of the source."""
    source = place.source
    scanner = open_source(source.kind, source.root, options_of(source.options), below=path_below(source.root, folder))
    try:
        for entry in scanner.scan():
            if isinstance(entry, FoundImage):
                yield place_in(source.root, entry.path)
    finally:
        scanner.close()


def lies_in_collection(root: bytes, path: bytes) -> bool:
    """Return whether any folder from ``root`` to ``path``, inclusive, is a collection."""
    while below(root, path):
        if os.path.exists(os.path.join(path, os.fsencode(layout.COLLECTION))):
            try:
                names = os.listdir(path)
            except OSError:
                names = []
            if layout.holds_collection({os.fsdecode(name) for name in names}):
                return True
        path = os.path.dirname(path)
    return False


def _scan_reaches(source: LocalSource, path: bytes) -> bool:
    inner = path_below(source.root, path)
    if not inner or source.kind in CONTAINER_KINDS:
        return True
    path_filter = filter_of(options_of(source.options))
    return reaches(source.root, path, follow_symlinks=False) and path_filter.reaches(
        inner, folder=not os.path.isfile(path)
    )
