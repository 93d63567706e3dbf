"""What a collection knows below an absolute path, asked without its lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from imseek.data.reader import FOREVER, base_folder, connect_read_only, join_place
from imseek.data.sources import contains


def folder_sources(root: Path) -> list[bytes]:
    """Absolute paths of the sources that are folders. Raises as ``connect_read_only``."""
    with connect_read_only(root) as connection:
        return [place for kind, _, place in _sources(root, connection) if kind == "folder"]


def with_places(root: Path, paths: Iterable[bytes]) -> set[bytes]:
    """Which of these absolute paths are those of images, or of folders with images in them."""
    with connect_read_only(root) as connection:
        sources = list(_sources(root, connection))
        return {path for path in paths if any(_below(connection, sources, path, 1))}


def places_below(root: Path, path: bytes, limit: int) -> list[bytes]:
    """Absolute paths of at most ``limit`` images at or below an absolute path."""
    with connect_read_only(root) as connection:
        return list(_below(connection, _sources(root, connection), path, limit))


def _sources(root: Path, connection: sqlite3.Connection) -> Iterator[tuple[str, int, bytes]]:
    query = "SELECT kind, source_id, root, relative FROM sources WHERE died = ? ORDER BY source_id"
    for kind, source_id, at, relative in connection.execute(query, (FOREVER,)).fetchall():
        yield kind, source_id, join_place(base_folder(root), at, relative, b"")


def _below(
    connection: sqlite3.Connection, sources: Iterable[tuple[str, int, bytes]], path: bytes, limit: int
) -> Iterator[bytes]:
    for _, source_id, at in sources:
        query = "SELECT path FROM places WHERE source_id = ? AND died = ?"
        values: list[int | bytes] = [source_id, FOREVER]
        if contains(at, path) and at != path:
            inner = path[len(at.rstrip(b"/")) + 1 :]
            # `0` is the byte after `/`: what lies between is below.
            query = f"{query} AND (path = ? OR (path > ? AND path < ?))"
            values += [inner, inner + b"/", inner + b"0"]
        elif not contains(path, at):
            continue
        for (place,) in connection.execute(f"{query} LIMIT ?", (*values, limit)):
            yield join_place(b"", at, 0, place)
