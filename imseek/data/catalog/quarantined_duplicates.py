"""Quarantined images: an action on duplicates moved their files aside. They keep id, tags and place, but are not
searched until the files return.

The state changes before a file moves, and changes back after the file has returned. So whenever a scan finds no file at
its place, the image is either quarantined, and left alone, or really gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imseek.data.catalog import shard_catalog, tags
from imseek.data.catalog.catalog_writer import LIVE, QUARANTINED
from imseek.data.catalog.place_paths import base_folder, join_root
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import Connection, select_in
from imseek.data.catalog.tags import ImageTag
from imseek.data.collection_records import FOREVER
from imseek.data.shards.derived_columns import columns_change
from imseek.data.writing.writer import Writer


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A live source: its kind and its current location."""

    source_id: int
    kind: str
    root: bytes


@dataclass(frozen=True, slots=True)
class CatalogImage:
    """A live image in the catalog: sha256, state, and its place (source and path within it), if known."""

    image_id: int
    content_hash: bytes
    state: str
    stored: bool
    source_id: int | None = None
    path: bytes = b""


def live_sources(root: Path) -> dict[int, LiveSource]:
    """Return sources that have not been removed, by id. Raises as ``connect_read_only``."""
    query = "SELECT source_id, kind, root, relative FROM sources WHERE died = ? ORDER BY source_id"
    base = base_folder(root)
    with connect_read_only(root) as connection:
        rows = connection.execute(query, (FOREVER,)).fetchall()
    return {i: LiveSource(i, kind, join_root(base, location, relative)) for i, kind, location, relative in rows}


def look_up_images(root: Path, image_ids: Sequence[int]) -> dict[int, CatalogImage]:
    """Return what the catalog says about images now, by id; unknown and dead ids are left out."""
    images: dict[int, CatalogImage] = {}
    query = (
        "SELECT i.image_id, i.content_hash, i.state, i.shard_id IS NOT NULL, p.source_id, p.path "
        "FROM images i LEFT JOIN places p ON p.image_id = i.image_id AND p.died = ? "
        "WHERE i.died = ? AND i.image_id IN (??)"
    )
    with connect_read_only(root) as connection:
        rows = select_in(connection, query, FOREVER, FOREVER, [int(i) for i in image_ids])
        for i, content, state, stored, source_id, path in rows:
            images[i] = CatalogImage(i, content, state, bool(stored), source_id, path or b"")
    return images


def find_past_places(root: Path, source_id: int, paths: Iterable[bytes]) -> set[bytes]:
    """Return those of the paths that are, or once were, places of a source."""
    query = "SELECT 1 FROM places WHERE source_id = ? AND path = ? LIMIT 1"
    with connect_read_only(root) as connection:
        return {path for path in paths if connection.execute(query, (source_id, path)).fetchone()}


def occupants(root: Path, places: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    """Return the ids of the images at these places (source and path within it), by place, as the catalog has them."""
    query = "SELECT image_id FROM places WHERE source_id = ? AND path = ? AND died = ?"
    image_of: dict[tuple[int, bytes], int] = {}
    with connect_read_only(root) as connection:
        for source_id, path in places:
            for (image_id,) in connection.execute(query, (source_id, path, FOREVER)):
                image_of[source_id, path] = image_id
    return image_of


@dataclass(frozen=True, slots=True)
class QuarantineChange:
    """The changes in the catalog that go with moved files, made as one generation.

    ``put_away`` are live images to quarantine: their files may move once this is committed. ``kept`` are those whose
    files have not moved after all; returned ones arrive as ``checked`` of a batch. ``tags`` are added with their
    provenance, ``untagged`` removed. ``columns``, unless None, replace those of ``column_set``.
    """

    put_away: Sequence[int] = ()
    kept: Sequence[int] = ()
    tags: Mapping[ImageTag, str] = field(default_factory=dict)
    untagged: Sequence[ImageTag] = ()
    columns: Mapping[str, Mapping[int, Any]] | None = None
    column_set: str = ""

    def __bool__(self) -> bool:
        return any((self.put_away, self.kept, self.tags, self.untagged)) or self.columns is not None


def apply_change(writer: Writer, change: QuarantineChange) -> int:
    """Commit a change; return the generation. An empty one commits nothing. Raises as ``Writer.apply``."""
    if not change:
        return writer.generation
    columns = change.columns
    replace = None if columns is None else columns_change(writer, change.column_set, columns)

    def make(connection: Connection, generation: int) -> None:
        shard_ids = shard_catalog.change_state(connection, change.put_away, LIVE, QUARANTINED)
        shard_ids |= shard_catalog.change_state(connection, change.kept, QUARANTINED, LIVE)
        for shard_id in sorted(shard_ids):
            shard_catalog.write_dead_rows(writer, connection, generation, shard_id)
        tags.add(connection, generation, change.tags)
        tags.end_tags(connection, generation, change.untagged)
        if replace is not None:
            replace(connection, generation)

    return writer.apply(make)
