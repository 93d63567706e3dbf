"""Read the tags of one generation, and count them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import select_in
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import is_duplicate_mark
from imseek.errors import UsageError, did_you_mean

#: Prefixes of the provenance of tags given by a model: no person gave them, and models do not learn from them.
MODEL_PREFIXES = ("probe ", "zero-shot ", "moderation ")
#: Precedes the provenance of a tag that was given to an earlier picture of the same file.
_CARRIED = re.compile(r"\A(?:carried over from \d+: )+")

#: Image id, tag, and provenance.
TagRow = tuple[int, str, str]


def rows(reader: Reader, tags: Sequence[str] | None = None) -> list[TagRow]:
    """Return all tags of a generation, or those with some names, by image and tag. Raises StaleGenerationError."""
    query = "SELECT image_id, tag, provenance FROM tags WHERE born <= ? AND died > ?"
    values: list[object] = [reader.generation, reader.generation]
    if tags is not None:
        query += f" AND tag IN ({','.join('?' * len(tags))})"
        values += tags
    with connect_read_only(reader.root) as connection:
        found = connection.execute(f"{query} ORDER BY image_id, tag", values).fetchall()
        reader.check_history(connection)
    return found


def is_from_model(provenance: str) -> bool:
    """Whether a tag with this provenance was given by a model, even for an earlier picture of the same file."""
    return _CARRIED.sub("", provenance).startswith(MODEL_PREFIXES)


def is_manual(provenance: str) -> bool:
    """Whether a tag with this provenance is a person's statement: neither from a model nor a duplicate mark."""
    return not is_from_model(provenance) and not is_duplicate_mark(provenance)


def manual_tags(reader: Reader) -> Iterator[tuple[int, str]]:
    """Yield image and tag of :func:`rows` given by people (:func:`is_manual`), each once."""
    last = None
    for image_id, tag, provenance in rows(reader):
        if (image_id, tag) != last and is_manual(provenance):
            last = image_id, tag
            yield last


def rows_of_images(reader: Reader, image_ids: Sequence[int]) -> list[TagRow]:
    """Return the tags of some images, by image and tag. Raises StaleGenerationError."""
    query = (
        "SELECT image_id, tag, provenance FROM tags "
        "WHERE born <= ? AND died > ? AND image_id IN (??) ORDER BY image_id, tag"
    )
    ids = sorted({int(i) for i in image_ids})
    with connect_read_only(reader.root) as connection:
        records = list(select_in(connection, query, reader.generation, reader.generation, ids))
        reader.check_history(connection)
    return records


def count_tags(root: Path) -> list[tuple[str, str, int]]:
    """Return tag, provenance, and the number of searchable images with it; as of now."""
    query = (
        "SELECT tag, provenance, COUNT(*) FROM tags JOIN images USING (image_id) "
        "WHERE tags.died = ? AND images.died = ? AND images.state = 'live' AND images.shard_id IS NOT NULL "
        "GROUP BY tag, provenance ORDER BY tag, provenance"
    )
    with connect_read_only(root) as connection:
        return connection.execute(query, (FOREVER, FOREVER)).fetchall()


def check_known(root: Path, tags: Sequence[str]) -> None:
    """Raise UsageError, with similar tags, for a tag that no image has."""
    known_tags = sorted({tag for tag, _, _ in count_tags(root)})
    for tag in tags:
        if tag not in known_tags:
            hint = did_you_mean(tag, known_tags) if known_tags else "imseek tag add TAG IMAGE…"
            raise UsageError(f"no image has the tag {tag!r}", hint=hint)
