"""Tags of images. Each remembers who gave it, and from which generation to which it held."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, insert, select, update

from imseek.data import schema as t
from imseek.data import shard_catalog
from imseek.data.catalog import live
from imseek.data.schema import FOREVER
from imseek.data.writer import Writer

#: An image and a tag of it.
Tagged: TypeAlias = tuple[int, str]


def of(connection: Connection, image_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The tags that images have now, by image, with where each comes from."""
    found: dict[int, dict[str, str]] = {}
    g = t.tags.c
    for chunk in shard_catalog.chunks(image_ids):
        query = select(g.image_id, g.tag, g.provenance).where(g.image_id.in_(chunk), live(t.tags))
        for image_id, tag, provenance in connection.execute(query.order_by(g.image_id, g.tag)):
            found.setdefault(image_id, {})[tag] = provenance
    return found


def add(
    connection: Connection, generation: int, given: Mapping[Tagged, str], *, over: bool = False
) -> list[Tagged]:
    """Give tags to live images, each with where it comes from; those that an image has already are passed over, or
    (``over``) come from there from now on.

    Returns those that were given. Part of a change (:meth:`Writer.apply`).
    """
    ids = sorted({image_id for image_id, _ in given})
    had = of(connection, ids)
    i = t.images.c
    living: set[int] = set()
    for chunk in shard_catalog.chunks(ids):
        living.update(
            connection.execute(select(i.image_id).where(i.image_id.in_(chunk), live(t.images))).scalars()
        )
    new = []
    others = []
    for one, provenance in given.items():
        before = had.get(one[0], {}).get(one[1])
        if one[0] in living and (before is None or (over and before != provenance)):
            new.append(one)
            if before is not None:
                others.append(one)
    end(connection, generation, others)
    if new:
        connection.execute(
            insert(t.tags),
            [
                {
                    "image_id": image_id,
                    "tag": tag,
                    "provenance": given[image_id, tag],
                    "born": generation,
                    "died": FOREVER,
                }
                for image_id, tag in new
            ],
        )
    return new


def end(connection: Connection, generation: int, taken: Iterable[Tagged]) -> int:
    """Take tags away; returns how many there were. Part of a change (:meth:`Writer.apply`)."""
    ended = 0
    g = t.tags.c
    by_tag: dict[str, list[int]] = {}
    for image_id, tag in taken:
        by_tag.setdefault(tag, []).append(image_id)
    for tag, image_ids in by_tag.items():
        for chunk in shard_catalog.chunks(image_ids):
            mine = (g.tag == tag) & g.image_id.in_(chunk) & live(t.tags)
            ended += connection.execute(update(t.tags).where(mine).values(died=generation)).rowcount
    return ended


def end_from(
    connection: Connection, generation: int, provenance: str | None = None, *, prefix: str | None = None
) -> int:
    """Take away all tags of a provenance, or of those that begin with ``prefix``; returns how many there were. Part of
    a change (:meth:`Writer.apply`)."""
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


def put(writer: Writer, given: Mapping[Tagged, str]) -> int:
    """Give tags as one change; returns the generation. See :func:`add`."""

    def change(connection: Connection, generation: int) -> None:
        add(connection, generation, given)

    return writer.apply(change)


def give(writer: Writer, given: Mapping[Tagged, str], *, over: bool = False) -> tuple[int, int]:
    """Give tags as one change; returns the generation, and how many were given. See :func:`add`."""
    new: list[Tagged] = []

    def change(connection: Connection, generation: int) -> None:
        new[:] = add(connection, generation, given, over=over)

    return writer.apply(change), len(new)


def take(writer: Writer, taken: Sequence[Tagged]) -> tuple[int, int]:
    """Take tags away as one change; returns the generation, and how many there were."""
    ended = [0]

    def change(connection: Connection, generation: int) -> None:
        ended[0] = end(connection, generation, taken)

    return writer.apply(change), ended[0]


def exchange(
    writer: Writer, taken: Sequence[Tagged], given: Mapping[Tagged, str], *, over: bool = False
) -> tuple[int, int]:
    """Take tags away and give others as one change; returns the generation, and how many were changed. See
    :func:`add`."""
    changed = [0]

    def change(connection: Connection, generation: int) -> None:
        changed[0] = end(connection, generation, taken)
        changed[0] += len(add(connection, generation, given, over=over))

    return writer.apply(change), changed[0]


def restate(
    writer: Writer, provenance: str, within: Container[int], wanted: Sequence[Tagged]
) -> tuple[int, int, int]:
    """Of the images ``within``, let exactly the tags that are ``wanted`` come from ``provenance``, where they do not
    come from elsewhere; one change. Returns the generation, how many were given, and how many taken away."""
    counted = [0, 0]
    asked = set(wanted)
    g = t.tags.c

    def change(connection: Connection, generation: int) -> None:
        query = select(g.image_id, g.tag).where(g.provenance == provenance, live(t.tags))
        had = [(image_id, tag) for image_id, tag in connection.execute(query) if image_id in within]
        counted[1] = end(connection, generation, [one for one in had if one not in asked])
        counted[0] = len(add(connection, generation, dict.fromkeys(wanted, provenance)))

    return writer.apply(change), counted[0], counted[1]
