"""Write albums, and the tags that go with them, in one change each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from imseek.data.catalog import album_reader, tags
from imseek.data.catalog.album_reader import AlbumRow
from imseek.data.catalog.sql import Connection, insert
from imseek.data.catalog.tags import ImageTag
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.writing.writer import Change, Writer


def replace(
    writer: Writer,
    albums: Mapping[str, AlbumRow | None],
    states: Mapping[ImageTag, str | None] | None = None,
) -> tuple[int, int]:
    """Store albums by name (None makes one a plain tag again) and set the states of tags, in one change.

    Returns the generation, and how many tags changed: see :func:`imseek.data.catalog.tags.set_states`.
    """
    changed = [0]

    def change(connection: Connection, generation: int) -> None:
        put(connection, generation, albums)
        changed[0] = tags.set_states(connection, generation, states or {})

    return writer.apply(change), changed[0]


def put(connection: Connection, generation: int, albums: Mapping[str, AlbumRow | None]) -> None:
    """Store albums by name, or end them (None). Part of a change (:meth:`Writer.apply`)."""
    for name, row in albums.items():
        connection.execute("UPDATE albums SET died = ? WHERE tag = ? AND died = ?", (generation, name, FOREVER))
        if row is not None:
            values = {"tag": name, "cover": row.cover, "positions": _packed(row.positions)}
            insert(connection, "albums", [{**values, "born": generation, "died": FOREVER}])


def _packed(positions: Sequence[int]) -> str:
    return json.dumps(list(positions), separators=(",", ":"))


def rename_change(reader: Reader, tag: str, to: str) -> Change:
    """Return a change that moves an album to its tag's new name; an album of that name stays as it is."""
    existing = {row.tag: row for row in album_reader.rows(reader)}
    row = existing.get(tag)
    albums: dict[str, AlbumRow | None] = {} if row is None else {tag: None}
    if row is not None and to not in existing:
        albums[to] = dataclasses.replace(row, tag=to)

    def change(connection: Connection, generation: int) -> None:
        put(connection, generation, albums)

    return change
