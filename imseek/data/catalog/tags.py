"""Write tags of images. Each has a provenance, and the generations between which it was valid."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeAlias

from imseek.data.catalog.sql import Connection, execute_in, insert, select_in
from imseek.data.collection_records import FOREVER
from imseek.data.writing.writer import Change, Writer

#: An image id and one of its tags.
ImageTag: TypeAlias = tuple[int, str]


def current_tags(connection: Connection, image_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the current tags of images, with their provenance, by image."""
    tags_of: dict[int, dict[str, str]] = {}
    query = "SELECT image_id, tag, provenance FROM tags WHERE image_id IN (??) AND died = ? ORDER BY image_id, tag"
    for image_id, tag, provenance in select_in(connection, query, list(image_ids), FOREVER):
        tags_of.setdefault(image_id, {})[tag] = provenance
    return tags_of


def add(
    connection: Connection, generation: int, additions: Mapping[ImageTag, str], *, over: bool = False
) -> list[ImageTag]:
    """Tag live images; existing tags are skipped, or with ``over`` get the new provenance.

    Returns the tags that were added or changed. Part of a change (:meth:`Writer.apply`).
    """
    ids = sorted({image_id for image_id, _ in additions})
    existing = current_tags(connection, ids)
    query = "SELECT image_id FROM images WHERE image_id IN (??) AND died = ?"
    live_ids = {image_id for (image_id,) in select_in(connection, query, ids, FOREVER)}
    new_tags = []
    replaced = []
    for key, provenance in additions.items():
        previous = existing.get(key[0], {}).get(key[1])
        if key[0] in live_ids and (previous is None or (over and previous != provenance)):
            new_tags.append(key)
            if previous is not None:
                replaced.append(key)
    end_tags(connection, generation, replaced)
    insert(
        connection,
        "tags",
        [
            {
                "image_id": image_id,
                "tag": tag,
                "provenance": additions[image_id, tag],
                "born": generation,
                "died": FOREVER,
            }
            for image_id, tag in new_tags
        ],
    )
    return new_tags


def end_tags(connection: Connection, generation: int, removals: Iterable[ImageTag]) -> int:
    """Remove tags; return how many existed. Part of a change (:meth:`Writer.apply`)."""
    by_tag: dict[str, list[int]] = {}
    for image_id, tag in removals:
        by_tag.setdefault(tag, []).append(image_id)
    statement = "UPDATE tags SET died = ? WHERE tag = ? AND image_id IN (??) AND died = ?"
    return sum(execute_in(connection, statement, generation, tag, ids, FOREVER) for tag, ids in by_tag.items())


def end_by_provenance(
    connection: Connection, generation: int, provenance: str | None = None, *, prefix: str | None = None
) -> int:
    """Remove all tags with a provenance, or whose provenance begins with ``prefix``; return how many existed.

    Part of a change (:meth:`Writer.apply`).
    """
    ended = 0
    if provenance is not None:
        query = "UPDATE tags SET died = ? WHERE provenance = ? AND died = ?"
        ended += connection.execute(query, (generation, provenance, FOREVER)).rowcount
    if prefix is not None:
        query = "UPDATE tags SET died = ? WHERE substr(provenance, 1, ?) = ? AND died = ?"
        ended += connection.execute(query, (generation, len(prefix), prefix, FOREVER)).rowcount
    return ended


def put(writer: Writer, additions: Mapping[ImageTag, str]) -> int:
    """Add tags in one change; return the generation. See :func:`add`."""
    return replace_tags(writer, (), additions)[0]


def replace_tags(
    writer: Writer,
    removals: Sequence[ImageTag],
    additions: Mapping[ImageTag, str],
    *,
    over: bool = False,
    also: Change | None = None,
) -> tuple[int, int]:
    """Remove tags and add others in one change, together with ``also``.

    Returns the generation and how many changed. See :func:`add`.
    """
    changed = [0]

    def change(connection: Connection, generation: int) -> None:
        changed[0] = end_tags(connection, generation, removals)
        changed[0] += len(add(connection, generation, additions, over=over))
        if also is not None:
            also(connection, generation)

    return writer.apply(change), changed[0]


def set_provenance_tags(
    writer: Writer, provenance: str, image_ids: Container[int], tags: Sequence[ImageTag]
) -> tuple[int, int, int]:
    """Within some images, replace the tags with a provenance by ``tags``, in one change.

    Tags that an image has from elsewhere keep their provenance. Returns the generation, how many were added, and how
    many removed.
    """
    counts = [0, 0]
    new_tags = set(tags)

    def change(connection: Connection, generation: int) -> None:
        query = "SELECT image_id, tag FROM tags WHERE provenance = ? AND died = ?"
        rows = connection.execute(query, (provenance, FOREVER))
        existing = [(image_id, tag) for image_id, tag in rows if image_id in image_ids]
        counts[1] = end_tags(connection, generation, [tag for tag in existing if tag not in new_tags])
        counts[0] = len(add(connection, generation, dict.fromkeys(tags, provenance)))

    return writer.apply(change), counts[0], counts[1]


def set_states(connection: Connection, generation: int, states: Mapping[ImageTag, str | None]) -> int:
    """Give tags of live images exactly these provenances, or remove them (None); return how many changed.

    Part of a change (:meth:`Writer.apply`).
    """
    existing = current_tags(connection, sorted({image_id for image_id, _ in states}))
    previous = {key: existing.get(key[0], {}).get(key[1]) for key in states}
    differing = {key: provenance for key, provenance in states.items() if previous[key] != provenance}
    new_tags = {key: provenance for key, provenance in differing.items() if provenance is not None}
    ended = end_tags(connection, generation, [key for key in differing if key not in new_tags])
    end_tags(connection, generation, [key for key in new_tags if previous[key] is not None])
    return ended + len(add(connection, generation, new_tags))
