"""Manage the spaces of a collection in the catalog: those in use, those being built, and those left after a switch.

A space that is not current has its vector files in the catalog like any other, but ``current.json`` does not name it:
readers ignore it, merging and purging preserve it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, func, select, update

from imseek.data.catalog import model_files, shard_catalog
from imseek.data.catalog import schema as t
from imseek.data.catalog.catalog import LIVE, find_meta, live, now, set_meta
from imseek.data.catalog.space_facts import KEPT_SINCE, modalities_of
from imseek.data.files.collection_files import remove_files
from imseek.data.writing.create import add_space
from imseek.data.writing.space_build_rows import PART
from imseek.data.writing.writer import Writer
from imseek.errors import UsageError
from imseek.types.adapters import adapter_of
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.types.maintenance_reports import DropReport

#: Name in ``meta`` of the number of captions that have changed since they were embedded.
_STALE_CAPTIONS = "stale_captions"


@dataclass(frozen=True, slots=True)
class StoredSpace:
    """A space in the catalog. ``modalities`` are those that its encoder accepts, None if not recorded."""

    info: SpaceInfo
    is_current: bool
    position: int
    modalities: tuple[str, ...] | None


def list_spaces(writer: Writer) -> list[StoredSpace]:
    """Return all spaces that have not been dropped: those in use in their order, then the others by id."""
    with writer.catalog.transaction() as connection:
        rows = connection.execute(
            select(t.spaces)
            .where(live(t.spaces))
            .order_by(
                t.spaces.c.is_current.desc(),
                t.spaces.c.modality,
                t.spaces.c.position * t.spaces.c.is_current,
                t.spaces.c.space_id,
            )
        )
        return [_stored_space(row) for row in rows]


def find(writer: Writer, space_id: int) -> StoredSpace:
    """Return a space. Raises UsageError, which names the existing ones."""
    found = list_spaces(writer)
    for space in found:
        if space.info.space_id == space_id:
            return space
    known = ", ".join(f"{s.info.space_id} ({s.info.encoder})" for s in found)
    raise UsageError(f"no space {space_id} in this collection (there are: {known})")


def unsearched_images(writer: Writer) -> set[int]:
    """Return images in shards that are not searched now: quarantined or suspended."""
    i = t.images.c
    query = select(i.image_id).where(live(t.images), i.state != LIVE, i.shard_id.is_not(None))
    with writer.catalog.transaction() as connection:
        return set(connection.execute(query).scalars())


def prepare_space(writer: Writer, space: Mapping[str, Any]) -> SpaceInfo:
    """Return the space to build: an unused one with the same fingerprint, dimension and modality, else a new one.

    ``space`` is as for :func:`imseek.data.writing.create.create`. Existing vectors of an unused space count; its
    encoder's name and details are updated.
    """
    taken: list[int] = []

    def change(connection: Connection, generation: int) -> None:
        s = t.spaces.c
        like = (s.fingerprint == space["fingerprint"]) & (s.dim == space["dim"])
        like &= s.modality == space.get("modality", "image")
        found = connection.execute(
            select(s.space_id, s.facts).where(live(t.spaces), s.is_current == 0, like).order_by(s.space_id)
        ).first()
        if found is None:
            # Numbers are never reused: files of a dropped space may still exist.
            space_id = int(connection.execute(select(func.max(s.space_id))).scalar_one()) + 1
            add_space(connection, space_id, {**space, "is_current": 0, "born": generation})
        else:
            space_id = found.space_id
            named = {name: space[name] for name in ("encoder", "revision", "quality", "note", "logit_scale")}
            facts = {**_parse_object(found.facts), **space["facts"]}
            connection.execute(
                update(t.spaces).where(s.space_id == space_id).values(**named, facts=json.dumps(facts, sort_keys=True))
            )
        taken.append(space_id)

    writer.apply(change)
    return find(writer, taken[0]).info


def note_stale_captions(connection: Connection, count: int) -> None:
    """Record that captions of so many more images differ from those embedded, if any are."""
    s = t.spaces.c
    in_use = select(s.space_id).where(live(t.spaces), s.is_current == 1, s.modality == "text").limit(1)
    if count and connection.execute(in_use).first() is not None:
        set_meta(connection, _STALE_CAPTIONS, count_stale_captions(connection) + count)


def count_stale_captions(connection: Connection) -> int:
    """Return how many captions have changed since they were embedded."""
    found = find_meta(connection, _STALE_CAPTIONS)
    return 0 if found is None else int(found)


def clear_stale_captions(connection: Connection) -> None:
    """Record that all captions have been embedded."""
    connection.execute(delete(t.meta).where(t.meta.c.name == _STALE_CAPTIONS))


def put_in_use(connection: Connection, space_id: int, replaces: int | None) -> None:
    """Make a space current from this generation on: in place of another, which stays, or behind all others."""
    s = t.spaces.c
    modality = connection.execute(select(s.modality).where(s.space_id == space_id)).scalar_one()
    if replaces is None:
        mine = live(t.spaces) & (s.is_current == 1) & (s.modality == modality)
        position = int(connection.execute(select(func.coalesce(func.max(s.position), -1)).where(mine)).scalar_one()) + 1
    else:
        position = connection.execute(select(s.position).where(s.space_id == replaces)).scalar_one()
        _update_space(connection, replaces, is_current=0, kept_since=now())
    _update_space(connection, space_id, is_current=1, position=position, kept_since=None)


def drop(writer: Writer, space_id: int) -> DropReport:
    """Remove a space and its vectors from the collection. The caller decides whether it may go.

    Its files stay for readers of earlier generations and are retired as usual.
    """
    from imseek.types.maintenance_reports import DropReport

    info = find(writer, space_id).info
    f = t.files.c
    gone: list[str] = []
    counts: list[tuple[int, int]] = []

    def change(connection: Connection, generation: int) -> None:
        mine = live(t.files) & (f.space_id == space_id)
        total = select(func.count(), func.coalesce(func.sum(f.size), 0)).where(mine)
        counts.append(tuple(connection.execute(total).one()))
        gone.extend(connection.execute(select(f.path).where(mine, f.kind == PART)).scalars())
        shard_catalog.forget_files(connection, gone)
        shard_catalog.retire_files(connection, generation, f.space_id == space_id)
        connection.execute(
            update(t.snapshots).where(t.snapshots.c.space_id == space_id, live(t.snapshots)).values(died=generation)
        )
        connection.execute(
            update(t.spaces).where(t.spaces.c.space_id == space_id).values(is_current=0, died=generation)
        )
        if (named := adapter_of(info.encoder)) is not None:
            model_files.drop_unused(connection, generation, named[0])

    generation = writer.apply(change)
    remove_files(writer.root, gone)
    (number, size), *_ = counts
    return DropReport(space_id, info.encoder, files=number, bytes=size, generation=generation)


def _update_space(connection: Connection, space_id: int, *, kept_since: str | None, **columns: Any) -> None:
    s = t.spaces.c
    facts = _parse_object(connection.execute(select(s.facts).where(s.space_id == space_id)).scalar_one())
    facts.pop(KEPT_SINCE, None)
    if kept_since is not None:
        facts[KEPT_SINCE] = kept_since
    connection.execute(
        update(t.spaces).where(s.space_id == space_id).values(facts=json.dumps(facts, sort_keys=True), **columns)
    )


def _stored_space(row: Row[Any]) -> StoredSpace:
    info = SpaceInfo(row.space_id, row.encoder, row.fingerprint, row.dim, row.modality, row.quality, row.note)
    return StoredSpace(info, bool(row.is_current), row.position, modalities_of(row.facts))


def _parse_object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}
