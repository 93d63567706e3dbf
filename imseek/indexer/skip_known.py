"""Skips pictures whose content is already stored in this collection or in others, if a run asks for it.

Each content is looked up in the catalogs themselves: about 10 µs with a million images, no memory, and commits of
other processes are seen. (Sorted hashes in memory take 3 µs, but 32 bytes per image and a second to load.)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imseek.data.catalog.content_lookup import HashLookup, lost_contents
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.current_file import read_identity
from imseek.types.indexing_runs import KnownReason


class KnownContent(NamedTuple):
    """Where a content is stored: the folder of the collection and the image, which is None if this run stored it."""

    reason: KnownReason
    collection: bytes
    image_id: int | None


class KnownContents:
    """Looks up contents in the collections ``known``; the one at ``root`` counts only if it is among them.

    Thread-safe. Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError, LockedError or
    StorageError if one of them cannot be read.
    """

    def __init__(self, root: Path | None = None, known: Sequence[Path] = ()) -> None:
        self._lookups: list[tuple[KnownReason, bytes, HashLookup]] = []
        self._own = b"" if root is None else os.fsencode(root)
        for folder in dict.fromkeys(known):
            read_identity(folder)
            with connect_read_only(folder):  # fail here, not in the middle of the run
                pass
            own = root is not None and folder.samefile(root)
            reason: KnownReason = "known_here" if own else "known_elsewhere"
            found = (reason, os.fsencode(folder), HashLookup(folder, kept=True))
            self._lookups.insert(0 if own else len(self._lookups), found)
        #: Whether the collection's own images count as known.
        self.here = any(reason == "known_here" for reason, _, _ in self._lookups)
        #: Contents of this collection whose vectors must be recomputed.
        self.lost = frozenset[bytes]() if root is None or not known else lost_contents(root)

    def find(self, content_hash: bytes) -> KnownContent | None:
        """Return where a content is stored: in this collection, or in the first of the others. Raises StorageError."""
        for reason, folder, lookup in self._lookups:
            if (image_id := lookup.find(content_hash)) is not None:
                return KnownContent(reason, folder, image_id)
        return None

    def stored_here(self, image_id: int | None) -> KnownContent:
        """Return the entry for an image of this collection; ``image_id`` is None if this run is storing it."""
        return KnownContent("known_here", self._own, image_id)

    def close(self) -> None:
        for _, _, lookup in self._lookups:
            lookup.close()
