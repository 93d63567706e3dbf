"""Look up absolute paths in a collection, without its lock."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, base_folder, is_url, join, join_root, split
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import ReadConnection
from imseek.data.collection_records import FOREVER


class LocalSource(NamedTuple):
    """A source on the local disk: its kind, its current location, and its options (JSON)."""

    source_id: int
    kind: str
    root: bytes
    options: str


def local_sources(root: Path) -> list[LocalSource]:
    """Return the sources that are folders and files. Raises as ``connect_read_only``."""
    with connect_read_only(root) as connection:
        return _sources(root, connection)


def paths_with_images(root: Path, paths: Iterable[bytes]) -> set[bytes]:
    """Return which of these absolute paths are images, or folders or containers with images in them."""
    with connect_read_only(root) as connection:
        sources = _sources(root, connection)
        return {path for path in paths if any(_image_files_below(connection, sources, path, 1))}


def files_below(root: Path, path: bytes, limit: int) -> list[bytes]:
    """Return absolute paths of image files at or below an absolute path, for at most ``limit`` images."""
    with connect_read_only(root) as connection:
        return list(_image_files_below(connection, _sources(root, connection), path, limit))


def count_at(root: Path, source_id: int, path: bytes) -> tuple[int, int]:
    """Count the images of a source whose files are below ``path``, as if it had moved there, and all its images."""
    with connect_read_only(root) as connection:
        query = "SELECT path FROM places WHERE source_id = ? AND died = ?"
        files = [split(bytes(place))[0] for (place,) in connection.execute(query, (source_id, FOREVER))]
    exists = {file: os.path.exists(join(path, file)) for file in set(files)}
    return sum(exists[file] for file in files), len(files)


def _sources(root: Path, connection: ReadConnection) -> list[LocalSource]:
    query = "SELECT source_id, kind, root, relative, options FROM sources WHERE died = ? ORDER BY source_id"
    sources = [
        LocalSource(source_id, kind, join_root(base_folder(root), location, relative), options)
        for source_id, kind, location, relative, options in connection.execute(query, (FOREVER,))
    ]
    return [source for source in sources if os.path.isabs(source.root) and not is_url(source.root)]


def _image_files_below(
    connection: ReadConnection, sources: Iterable[LocalSource], path: bytes, limit: int
) -> Iterator[bytes]:
    for source in sources:
        query = "SELECT path FROM places WHERE source_id = ? AND died = ?"
        values: list[int | bytes] = [source.source_id, FOREVER]
        if (inner := path.removeprefix(source.root.rstrip(b"/") + b"/")) != path:
            # `0` is the byte after `/`, and 1 the byte after INSIDE, which precedes the members of containers.
            query = f"{query} AND path >= ? AND path < ? AND (path = ? OR path > ? OR (path > ? AND path < ?))"
            values += [inner, inner + b"0", inner, inner + b"/", inner + MEMBER_SEPARATOR, inner + b"\x01"]
        elif path != source.root and not source.root.startswith(path.rstrip(b"/") + b"/"):
            continue
        for (place,) in connection.execute(f"{query} LIMIT ?", (*values, limit)):
            yield join(source.root, split(place)[0])
