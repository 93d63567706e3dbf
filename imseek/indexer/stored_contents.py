"""Look up contents while a run stores more: in this collection, and in collections whose pictures are skipped.

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
from imseek.data.collection_records import read_identity
from imseek.types.indexing_runs import KnownReason


class KnownContent(NamedTuple):
    """Collection and image that hold a content; ``image_id`` is None if this run stored it."""

    reason: KnownReason
    collection: bytes
    image_id: int | None


class StoredContents:
    """Looks up contents in the collection at ``root``, and in the collections ``skipped``, possibly this one too.

    Thread-safe. Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError, LockedError or
    StorageError if one of those skipped cannot be read.
    """

    def __init__(self, root: Path, skipped: Sequence[Path] = ()) -> None:
        self._lookup = HashLookup(root)
        self._skipped: list[tuple[KnownReason, bytes, HashLookup]] = []
        self._own = os.fsencode(root)
        for folder in dict.fromkeys(skipped):
            read_identity(folder)
            with connect_read_only(folder):  # fail here, not in the middle of the run
                pass
            is_own = folder.samefile(root)
            reason: KnownReason = "known_here" if is_own else "known_elsewhere"
            entry = (reason, os.fsencode(folder), HashLookup(folder, unsearchable=True))
            self._skipped.insert(0 if is_own else len(self._skipped), entry)
        #: Whether pictures are skipped whose content this collection has.
        self.skips_own = any(reason == "known_here" for reason, _, _ in self._skipped)
        #: Contents of this collection whose vectors must be recomputed.
        self._lost = lost_contents(root) if skipped else frozenset[bytes]()
        #: Commits of the run so far: a content looked up before a commit may have been stored by it.
        self.commits = 0

    def find_skipped(self, content_hash: bytes) -> KnownContent | None:
        """Return where a content to skip is stored: here, or in the first of the others. Raises StorageError."""
        for reason, folder, lookup in self._skipped:
            if (image_id := lookup.find(content_hash)) is not None:
                return KnownContent(reason, folder, image_id)
        return None

    def needs_vector(self, content_hash: bytes, known: KnownContent | None) -> bool:
        """Return whether a content must be encoded: no vector of it is stored, and it is not skipped as ``known``.

        A known content whose vector was lost here may have to be recomputed.
        """
        is_skipped = known is not None and content_hash not in self._lost
        return not is_skipped and self._lookup.find(content_hash) is None

    def find(self, content_hash: bytes, absent_at: int | None = None) -> int | None:
        """Return the image with this content whose vector is stored, or None.

        None without a query if the content was absent at ``absent_at`` commits and none came since.
        """
        return None if absent_at == self.commits else self._lookup.find(content_hash)

    def find_all(self, content_hash: bytes, absent_at: int | None = None) -> list[int]:
        """Return all images that :meth:`find` may return, ascending."""
        return [] if absent_at == self.commits else self._lookup.find_all(content_hash)

    def known_here(self, image_id: int | None) -> KnownContent:
        """Return the entry for an image of this collection; ``image_id`` is None if this run is storing it."""
        return KnownContent("known_here", self._own, image_id)

    def close(self) -> None:
        for lookup in (self._lookup, *(lookup for _, _, lookup in self._skipped)):
            lookup.close()
