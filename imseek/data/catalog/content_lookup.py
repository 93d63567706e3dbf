"""Find images by content hash in the current catalog, even during an indexing run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import ReadConnection, select_in
from imseek.data.collection_records import FOREVER
from imseek.errors import StorageError


class HashLookup:
    """Finds live images by content hash. Sees each commit as it is made. Thread-safe.

    With ``unsearchable`` it also finds quarantined images and those whose vector was lost.
    """

    def __init__(self, root: Path, *, unsearchable: bool = False) -> None:
        self._backend = backend_of(root)
        self._where = "state IN ('live', 'quarantined')" if unsearchable else "shard_id IS NOT NULL AND state = 'live'"
        self._lock = threading.Lock()
        self._connection: ReadConnection | None = None
        self._closed = False

    def find(self, content_hash: bytes) -> int | None:
        """Return the lowest id of an image with this sha256, or None.

        Also None once closed: a worker may still process a file when its run has failed. Raises StorageError.
        """
        ids = self._ask(content_hash, 1)
        return ids[0] if ids else None

    def find_all(self, content_hash: bytes) -> list[int]:
        """Return all matching ids, ascending. Raises StorageError."""
        return self._ask(content_hash, FOREVER)

    def _ask(self, content_hash: bytes, limit: int) -> list[int]:
        query = (
            "SELECT image_id FROM images WHERE content_hash = ? AND died = ? "  # noqa: S608 - one of two constants
            f"AND {self._where} ORDER BY image_id LIMIT ?"
        )
        with self._lock:  # Also held for closing: SQLite crashes if that overlaps a query.
            if self._closed:
                return []
            try:
                with self._backend.translate_errors():
                    if self._connection is None:
                        self._connection = self._backend.open_for_reading()
                    rows = self._connection.execute(query, (content_hash, FOREVER, limit)).fetchall()
            except StorageError:
                if self._connection is not None:
                    self._connection.close()  # A server may have restarted: the next query reconnects.
                    self._connection = None
                raise
        return [int(image_id) for (image_id,) in rows]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()


def lost_contents(root: Path) -> frozenset[bytes]:
    """Return the current sha256 of live images whose vector was lost and must be encoded again."""
    query = "SELECT DISTINCT content_hash FROM images WHERE died = ? AND shard_id IS NULL"
    with connect_read_only(root) as connection:
        return frozenset(content_hash for (content_hash,) in connection.execute(query, (FOREVER,)))


def same_contents(root: Path, image_ids: Sequence[int]) -> dict[int, tuple[bytes, list[int]]]:
    """Map each live image to its sha256 and the ids of all live images with that content, ascending, as of now."""
    contents: dict[int, bytes] = {}
    ids_of: dict[bytes, list[int]] = {}
    live = f"died = {FOREVER}"
    with connect_read_only(root) as connection:
        of_these = f"SELECT content_hash FROM images WHERE {live} AND image_id IN (??)"  # noqa: S608
        query = f"SELECT image_id, content_hash FROM images WHERE {live} AND content_hash IN ({of_these})"  # noqa: S608
        for image_id, content_hash in select_in(connection, f"{query} ORDER BY image_id", [int(i) for i in image_ids]):
            if image_id not in contents:  # Else already seen in an earlier part.
                contents[image_id] = content_hash
                ids_of.setdefault(content_hash, []).append(image_id)
    return {image_id: (contents[image_id], ids_of[contents[image_id]]) for image_id in image_ids}
