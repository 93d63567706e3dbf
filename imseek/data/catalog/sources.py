"""Add, remove and relocate sources in the catalog. The user's own files are never touched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import Source
from imseek.data.catalog.place_paths import base_folder, container_suffix, is_url, join, join_root, split
from imseek.data.catalog.sql import Connection, column, insert, scalar
from imseek.data.collection_records import FOREVER, read_identity
from imseek.data.words import documents
from imseek.data.writing.writer import Writer
from imseek.errors import SourceNotFoundError, UsageError
from imseek.types.pictures import display_path


def absolute_root(root: Path, source: Source) -> bytes:
    """Return the current location of a source."""
    return join_root(base_folder(root), source.root, int(source.relative))


def find(writer: Writer, source_id: int) -> Source:
    """Return a source. Raises SourceNotFoundError, which names the existing ones."""
    sources = writer.catalog.sources()
    for source in sources:
        if source.source_id == source_id:
            return source
    names = ", ".join(str(s.source_id) for s in sources) or "none"
    raise SourceNotFoundError(f"no source {source_id} in this collection (there are: {names})")


def add(writer: Writer, kind: str, path: bytes, options: Mapping[str, Any] | None = None) -> Source:
    """Record a source at the absolute path or URL ``path``, relative to the collection if it is beside it."""
    root, relative = _stored_root(writer.root, path)
    settings = json.dumps(options or {}, sort_keys=True)
    new_sources: list[Source] = []

    def change(connection: Connection, generation: int) -> None:
        last = scalar(connection, "SELECT COALESCE(MAX(source_id), 0) FROM sources")
        source = Source(int(last) + 1, kind, root, relative, settings)
        new_sources.append(source)
        row = {
            "source_id": source.source_id,
            "kind": kind,
            "root": root,
            "relative": int(relative),
            "options": settings,
        }
        insert(connection, "sources", [{**row, "born": generation, "died": FOREVER}])
        if relative and not root:
            documents.note_folder(connection, writer.root)

    writer.apply(change)
    return new_sources[0]


def renew_folder_name(writer: Writer) -> None:
    """Update the words of images with the new name of the collection's parent folder, if that is a source."""
    source_ids = [source.source_id for source in writer.catalog.sources() if source.relative and not source.root]
    if not source_ids:
        return
    with writer.catalog.transaction() as connection:
        if documents.has_folder_name(connection, writer.root):
            return

    def change(connection: Connection, generation: int) -> None:
        documents.note_folder(connection, writer.root)
        for source_id in source_ids:
            documents.rename(connection, generation, _places_of(connection, source_id))

    writer.apply(change)


def set_options(writer: Writer, source_id: int, options: Mapping[str, Any]) -> None:
    """Set the options with which a source is scanned from now on."""

    def change(connection: Connection, _generation: int) -> None:
        settings = json.dumps(options, sort_keys=True)
        connection.execute("UPDATE sources SET options = ? WHERE source_id = ?", (settings, source_id))

    writer.apply(change)


def remove(writer: Writer, source_id: int) -> int:
    """Remove a source and its images from the collection; return the number of images."""
    find(writer, source_id)
    # An interrupted run may have ended an image's place before recording the new one: it goes with its source.
    image_ids = [i for i, _, _, source in writer.catalog.missing_images(quarantined=True) if source == source_id]

    def change(connection: Connection, generation: int) -> None:
        query = "SELECT image_id FROM places WHERE source_id = ? AND died = ?"
        image_ids.extend(column(connection, query, (source_id, FOREVER)))
        for shard_id in sorted(shard_catalog.mark_dead(connection, generation, sorted(image_ids))):
            shard_catalog.write_dead_rows(writer, connection, generation, shard_id)
        _end_source(connection, generation, source_id)

    writer.apply(change)
    return len(image_ids)


def relocate(writer: Writer, source_id: int, path: bytes) -> int:
    """Record that a source's folder has moved to the absolute path ``path``: its images keep their ids.

    Returns the number of images. Raises UsageError where ``path`` cannot be the folder that moved.
    """
    source = find(writer, source_id)
    _check_new_root(writer, source, path)
    root, relative = _stored_root(writer.root, path)
    count: list[int] = []

    def change(connection: Connection, generation: int) -> None:
        # Updated in place, without history: nothing is left at the old location.
        query = "UPDATE sources SET root = ?, relative = ? WHERE source_id = ?"
        connection.execute(query, (root, int(relative), source_id))
        if relative and not root:
            documents.note_folder(connection, writer.root)
        places = _places_of(connection, source_id)
        documents.rename(connection, generation, places)
        count.append(len(places))

    writer.apply(change)
    return count[0]


def _places_of(connection: Connection, source_id: int) -> list[tuple[int, int, bytes]]:
    """Return the live images of a source: the id of each, the source's, and the path."""
    query = "SELECT image_id, path FROM places WHERE source_id = ? AND died = ? ORDER BY image_id"
    return [(image_id, source_id, path) for image_id, path in connection.execute(query, (source_id, FOREVER))]


def _check_new_root(writer: Writer, source: Source, path: bytes) -> None:
    """Raise UsageError unless the source can have moved there: a mistake would lose its images at the next run."""
    name = display_path(path)
    if not source.root or is_url(source.root):
        raise UsageError(f"source {source.source_id} is not a local folder or file, so it cannot have moved")
    if not os.path.exists(path):
        raise UsageError(f"no such path: {name}")
    if os.path.isdir(path) != _is_folder(writer, source):
        raise UsageError(f"source {source.source_id} is a {source.kind}; {name} is not")
    stat = writer.catalog.known_containers(source.source_id).get(b"")
    if stat is not None:
        is_same_kind = container_suffix(path) == container_suffix(absolute_root(writer.root, source))
        if not is_same_kind or (source.kind != "vectors" and stat.size not in (os.stat(path).st_size, -1)):
            raise UsageError(
                f"{name} is not the {source.kind} that source {source.source_id} was: another kind or size"
            )
    places = writer.catalog.known_places(source.source_id)
    if places and not any(os.path.exists(join(path, split(place)[0])) for place in places):
        raise UsageError(
            f"{name} has none of the {len(places)} images of source {source.source_id}",
            hint="to index another folder: imseek index FOLDER",
        )
    for other in writer.catalog.sources():
        if other.source_id == source.source_id:
            continue
        # One source may lie inside the other, but no image may belong to both.
        root = absolute_root(writer.root, other)
        if contains(path, root):
            outer, inner = places, os.path.relpath(root, path)
        elif contains(root, path):
            outer, inner = writer.catalog.known_places(other.source_id), os.path.relpath(path, root)
        else:
            continue
        if root == path or any(contains(inner, place) for place in outer):
            raise UsageError(f"{name} overlaps source {other.source_id}")


def _is_folder(writer: Writer, source: Source) -> bool:
    """Whether a source is (or was, before it moved) a folder, not a single file."""
    if source.kind in ("folder", "file"):
        return source.kind == "folder"
    # If the source is a file, paths of its members are empty before the first separator.
    containers = writer.catalog.known_containers(source.source_id)
    return any(containers) if containers else os.path.isdir(absolute_root(writer.root, source))


def contains(outer: bytes, inner: bytes) -> bool:
    """Whether ``inner`` is ``outer`` or below it (by name; links are not followed)."""
    return inner == outer or inner.startswith(outer.rstrip(b"/") + b"/")


def _end_source(connection: Connection, generation: int, source_id: int) -> None:
    connection.execute("UPDATE sources SET died = ? WHERE source_id = ?", (generation, source_id))
    for table in ("failures", "containers"):
        connection.execute(f"DELETE FROM {table} WHERE source_id = ?", (source_id,))  # noqa: S608


def _stored_root(root: Path, path: bytes) -> tuple[bytes, bool]:
    if is_url(path):
        return path, False
    base = base_folder(root)
    if read_identity(root).places == "relative" and contains(base, path):
        relative = os.path.relpath(path, base)
        return (b"" if relative == b"." else relative), True
    return path, False
