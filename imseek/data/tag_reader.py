"""Reading tags without SQLAlchemy: who has which, in one generation, and how many of each there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from imseek.data.catalog_file import connect_read_only
from imseek.data.metadata_columns import marks_duplicates
from imseek.data.reader import FOREVER, Reader, chunks
from imseek.errors import UsageError, did_you_mean

#: What the provenance of tags begins with that a model gave: nobody has said them, and models do not learn from them.
LEARNED = ("probe ", "zero-shot ", "moderation ")
#: What stands before it where a tag is of an earlier picture of the same file.
_CARRIED = re.compile(r"\A(?:carried over from \d+: )+")

#: Image, tag, and where it comes from.
TagRow = tuple[int, str, str]


def rows(reader: Reader, tags: Sequence[str] | None = None) -> list[TagRow]:
    """All tags of a generation, or those of some names, by image and tag. Raises StaleGenerationError."""
    query = "SELECT image_id, tag, provenance FROM tags WHERE born <= ? AND died > ?"
    values: list[object] = [reader.generation, reader.generation]
    if tags is not None:
        query += f" AND tag IN ({','.join('?' * len(tags))})"
        values += tags
    with connect_read_only(reader.root) as connection:
        found = connection.execute(f"{query} ORDER BY image_id, tag", values).fetchall()
        reader.check_history(connection)
    return found


def is_learned(provenance: str) -> bool:
    """Whether a model gave a tag from there, be it for what the file held before."""
    return _CARRIED.sub("", provenance).startswith(LEARNED)


def is_said(provenance: str) -> bool:
    """Whether a tag from there is what somebody says of a picture: not what was learned, nor a mark of a duplicate."""
    return not is_learned(provenance) and not marks_duplicates(provenance)


def said(reader: Reader, tags: Sequence[str] | None = None) -> Iterator[tuple[int, str]]:
    """Image and tag of :func:`rows` that somebody has said (:func:`is_said`), each once."""
    last = None
    for image_id, tag, provenance in rows(reader, tags):
        if (image_id, tag) != last and is_said(provenance):
            last = image_id, tag
            yield last


def of(reader: Reader, image_ids: Sequence[int]) -> list[TagRow]:
    """Those of some images, by image and tag. Raises StaleGenerationError."""
    query = "SELECT image_id, tag, provenance FROM tags WHERE born <= ? AND died > ? AND image_id IN "
    found: list[TagRow] = []
    with connect_read_only(reader.root) as connection:
        for chunk in chunks(sorted(set(image_ids))):
            marks = ",".join("?" * len(chunk))
            values = (reader.generation, reader.generation, *chunk)
            found += connection.execute(f"{query}({marks}) ORDER BY image_id, tag", values)
        reader.check_history(connection)
    return found


def counts(root: Path) -> list[tuple[str, str, int]]:
    """Tag, provenance, and how many images that can be found have it from there; as of now."""
    query = (
        "SELECT tag, provenance, COUNT(*) FROM tags JOIN images USING (image_id) "
        "WHERE tags.died = ? AND images.died = ? AND images.state = 'live' AND images.shard_id IS NOT NULL "
        "GROUP BY tag, provenance ORDER BY tag, provenance"
    )
    with connect_read_only(root) as connection:
        return connection.execute(query, (FOREVER, FOREVER)).fetchall()


def check_known(root: Path, tags: Sequence[str]) -> None:
    """Raises UsageError, with near matches, for a tag that no image has."""
    there = sorted({tag for tag, _, _ in counts(root)})
    for tag in tags:
        if tag not in there:
            hint = did_you_mean(tag, there) if there else "imseek tag add TAG IMAGE…"
            raise UsageError(f"no image has the tag {tag!r}", hint=hint)
