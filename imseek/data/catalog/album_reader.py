"""Read the albums of one generation: tags with a cover and an order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.files.checked_json import JsonObject
from imseek.data.reader import Reader
from imseek.errors import AlbumNotFoundError, CorruptCollectionError, did_you_mean, repair_command

#: First version of the catalog with albums: a reader may meet an earlier one, which has none.
_SINCE = 5


@dataclass(frozen=True, slots=True)
class AlbumRow:
    """An album as stored: its cover (None: its first image) and the images that were put in order."""

    tag: str
    cover: int | None
    positions: tuple[int, ...]


def rows(reader: Reader) -> list[AlbumRow]:
    """Return all albums of a generation, by name. Raises StaleGenerationError, CorruptCollectionError."""
    query = "SELECT tag, cover, positions FROM albums WHERE born <= ? AND died > ? ORDER BY tag"
    with connect_read_only(reader.root) as connection:
        (version,) = connection.execute("SELECT COUNT(*) FROM migrations").fetchone()
        if version < _SINCE:
            return []
        albums = connection.execute(query, (reader.generation, reader.generation)).fetchall()
        reader.check_history(connection)
    try:
        return [_parse_row(JsonObject({"tag": tag, "cover": cover}), positions) for tag, cover, positions in albums]
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptCollectionError(
            f"the catalog of {reader.root} has an album that imseek does not write: {error}",
            hint=repair_command(reader.root),
        ) from error


def images(reader: Reader, album: AlbumRow) -> tuple[int, ...]:
    """Return the searchable images of an album in its order. Raises StaleGenerationError."""
    query = "SELECT tags.image_id FROM tags JOIN images USING (image_id) WHERE tag = ? AND tags.born <= ? "
    query += "AND tags.died > ? AND images.state = 'live' AND images.shard_id IS NOT NULL"
    with connect_read_only(reader.root) as connection:
        values = (album.tag, reader.generation, reader.generation)
        records = connection.execute(f"{query} ORDER BY tags.born, tags.image_id", values).fetchall()
        reader.check_history(connection)
    return order((image_id for (image_id,) in records), album.positions)


def order(image_ids: Iterable[int], positions: Sequence[int]) -> tuple[int, ...]:
    """Return ``image_ids`` with those among ``positions`` first, in that order."""
    unordered = dict.fromkeys(image_ids)
    first = [image_id for image_id in positions if image_id in unordered]
    return tuple(dict.fromkeys((*first, *unordered)))


def find(reader: Reader, name: str) -> AlbumRow:
    """Return an album by name. Raises AlbumNotFoundError, with similar names, where there is none."""
    albums = {row.tag: row for row in rows(reader)}
    if name not in albums:
        hint = did_you_mean(name, sorted(albums)) if albums else "imseek album create NAME"
        raise AlbumNotFoundError(f"no album is called {name!r}", hint=hint)
    return albums[name]


def _parse_row(row: JsonObject, positions: str) -> AlbumRow:
    ordered = JsonObject({"positions": json.loads(positions)}).wholes("positions")
    return AlbumRow(row.text("tag"), row.optional_whole("cover"), ordered)
