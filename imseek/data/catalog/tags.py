"""Write tags of images. Each has a provenance, and the generations between which it was valid."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, insert, select, update

from imseek.data.catalog import schema as t
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog import live
from imseek.data.catalog.schema import FOREVER
from imseek.data.writing.writer import Change, Writer

#: An image id and one of its tags.
ImageTag: TypeAlias = tuple[int, str]


def current_tags(connection: Connection, image_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the current tags of images, with their provenance, by image."""
    found: dict[int, dict[str, str]] = {}
    g = t.tags.c
    for chunk in shard_catalog.chunks(image_ids):
        query = select(g.image_id, g.tag, g.provenance).where(g.image_id.in_(chunk), live(t.tags))
        for image_id, tag, provenance in connection.execute(query.order_by(g.image_id, g.tag)):
            found.setdefault(image_id, {})[tag] = provenance
    return found


def add(
    connection: Connection, generation: int, additions: Mapping[ImageTag, str], *, over: bool = False
) -> list[ImageTag]:
    """Tag live images; existing tags are skipped, or with ``over`` get the new provenance.

    Returns the tags that were added or changed. Part of a change (:meth:`Writer.apply`).
    """
    ids = sorted({image_id for image_id, _ in additions})
    had = current_tags(connection, ids)
    i = t.images.c
    living: set[int] = set()
    for chunk in shard_catalog.chunks(ids):
        living.update(connection.execute(select(i.image_id).where(i.image_id.in_(chunk), live(t.images))).scalars())
    new = []
    others = []
    for one, provenance in additions.items():
        before = had.get(one[0], {}).get(one[1])
        if one[0] in living and (before is None or (over and before != provenance)):
            new.append(one)
            if before is not None:
                others.append(one)
    end_tags(connection, generation, others)
    if new:
        connection.execute(
            insert(t.tags),
            [
                {
                    "image_id": image_id,
                    "tag": tag,
                    "provenance": additions[image_id, tag],
                    "born": generation,
                    "died": FOREVER,
                }
                for image_id, tag in new
            ],
        )
    return new


def end_tags(connection: Connection, generation: int, removals: Iterable[ImageTag]) -> int:
    """Remove tags; return how many existed. Part of a change (:meth:`Writer.apply`)."""
    ended = 0
    g = t.tags.c
    by_tag: dict[str, list[int]] = {}
    for image_id, tag in removals:
        by_tag.setdefault(tag, []).append(image_id)
    for tag, image_ids in by_tag.items():
        for chunk in shard_catalog.chunks(image_ids):
            mine = (g.tag == tag) & g.image_id.in_(chunk) & live(t.tags)
            ended += connection.execute(update(t.tags).where(mine).values(died=generation)).rowcount
    return ended


def end_by_provenance(
    connection: Connection, generation: int, provenance: str | None = None, *, prefix: str | None = None
) -> int:
    """Remove all tags with a provenance, or whose provenance begins with ``prefix``; return how many existed.

    Part of a change (:meth:`Writer.apply`).
    """
    g = t.tags.c.provenance
    ended = 0
    for mine in (
        None if provenance is None else g == provenance,
        None if prefix is None else g.startswith(prefix, autoescape=True),
    ):
        if mine is not None:
            query = update(t.tags).where(mine, live(t.tags)).values(died=generation)
            ended += connection.execute(query).rowcount
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
    writer: Writer, provenance: str, within: Container[int], tags: Sequence[ImageTag]
) -> tuple[int, int, int]:
    """Within some images, replace the tags with a provenance by ``tags``, in one change.

    Tags that an image has from elsewhere keep their provenance. Returns the generation, how many were added, and how
    many removed.
    """
    counted = [0, 0]
    new_tags = set(tags)
    g = t.tags.c

    def change(connection: Connection, generation: int) -> None:
        query = select(g.image_id, g.tag).where(g.provenance == provenance, live(t.tags))
        had = [(image_id, tag) for image_id, tag in connection.execute(query) if image_id in within]
        counted[1] = end_tags(connection, generation, [one for one in had if one not in new_tags])
        counted[0] = len(add(connection, generation, dict.fromkeys(tags, provenance)))

    return writer.apply(change), counted[0], counted[1]


def set_states(connection: Connection, generation: int, states: Mapping[ImageTag, str | None]) -> int:
    """Give tags of live images exactly these provenances, or remove them (None); return how many changed.

    Part of a change (:meth:`Writer.apply`).
    """
    had = current_tags(connection, sorted({image_id for image_id, _ in states}))
    before = {one: had.get(one[0], {}).get(one[1]) for one in states}
    differing = {one: provenance for one, provenance in states.items() if before[one] != provenance}
    new = {one: provenance for one, provenance in differing.items() if provenance is not None}
    ended = end_tags(connection, generation, [one for one in differing if one not in new])
    end_tags(connection, generation, [one for one in new if before[one] is not None])
    return ended + len(add(connection, generation, new))
