"""Manage the spaces of a collection in the catalog: those in use, those being built, and those left after a switch.

A space that is not current has its vector files in the catalog like any other, but ``current.json`` does not name it:
readers ignore it, merging and purging preserve it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import LIVE, find_meta, now, set_meta
from imseek.data.catalog.space_modalities import KEPT_SINCE, modalities_of
from imseek.data.catalog.sql import Connection, column, scalar
from imseek.data.collection_records import FOREVER
from imseek.data.files.collection_files import remove_files
from imseek.data.writing.create import add_space
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
    query = (
        "SELECT space_id, encoder, fingerprint, dim, modality, quality, note, is_current, position, facts FROM spaces "
        "WHERE died = ? ORDER BY is_current DESC, modality, position * is_current, space_id"
    )
    with writer.catalog.transaction() as connection:
        return [
            StoredSpace(SpaceInfo(*row), bool(is_current), position, modalities_of(facts))
            for *row, is_current, position, facts in connection.execute(query, (FOREVER,))
        ]


def find(writer: Writer, space_id: int) -> StoredSpace:
    """Return a space. Raises UsageError, which names the existing ones."""
    spaces = list_spaces(writer)
    for space in spaces:
        if space.info.space_id == space_id:
            return space
    names = ", ".join(f"{s.info.space_id} ({s.info.encoder})" for s in spaces)
    raise UsageError(f"no space {space_id} in this collection (there are: {names})")


def unsearched_images(writer: Writer) -> set[int]:
    """Return images in shards that are not searched now: quarantined or suspended."""
    query = "SELECT image_id FROM images WHERE died = ? AND state <> ? AND shard_id IS NOT NULL"
    with writer.catalog.transaction() as connection:
        return set(column(connection, query, (FOREVER, LIVE)))


def prepare_space(writer: Writer, space: Mapping[str, Any]) -> SpaceInfo:
    """Return the space to build: an unused one with the same fingerprint, dimension and modality, else a new one.

    ``space`` is as for :func:`imseek.data.writing.create.create`. Existing vectors of an unused space count; its
    encoder's name and details are updated.
    """
    space_ids: list[int] = []

    def change(connection: Connection, generation: int) -> None:
        row = connection.execute(
            "SELECT space_id, facts FROM spaces WHERE died = ? AND is_current = 0 AND fingerprint = ? AND dim = ? "
            "AND modality = ? ORDER BY space_id",
            (FOREVER, space["fingerprint"], space["dim"], space.get("modality", "image")),
        ).fetchone()
        if row is None:
            # Numbers are never reused: files of a dropped space may still exist.
            space_id = int(scalar(connection, "SELECT MAX(space_id) FROM spaces")) + 1
            add_space(connection, space_id, {**space, "is_current": 0, "born": generation})
        else:
            space_id, facts = row
            names = ("encoder", "revision", "quality", "note", "logit_scale")
            connection.execute(
                "UPDATE spaces SET encoder = ?, revision = ?, quality = ?, note = ?, logit_scale = ?, facts = ? "
                "WHERE space_id = ?",
                (*(space[name] for name in names), _as_text({**_parse_object(facts), **space["facts"]}), space_id),
            )
        space_ids.append(space_id)

    writer.apply(change)
    return find(writer, space_ids[0]).info


def note_stale_captions(connection: Connection, count: int) -> None:
    """Record that the captions of ``count`` more images differ from those embedded, if any are embedded."""
    in_use = "SELECT 1 FROM spaces WHERE died = ? AND is_current = 1 AND modality = 'text' LIMIT 1"
    if count and scalar(connection, in_use, (FOREVER,)) is not None:
        set_meta(connection, _STALE_CAPTIONS, count_stale_captions(connection) + count)


def count_stale_captions(connection: Connection) -> int:
    """Return how many captions have changed since they were embedded."""
    value = find_meta(connection, _STALE_CAPTIONS)
    return 0 if value is None else int(value)


def clear_stale_captions(connection: Connection) -> None:
    """Record that all captions have been embedded."""
    connection.execute("DELETE FROM meta WHERE name = ?", (_STALE_CAPTIONS,))


def put_in_use(connection: Connection, space_id: int, replaces: int | None) -> None:
    """Make a space current from this generation on: in place of another, which stays, or behind all others."""
    if replaces is None:
        query = (
            "SELECT COALESCE(MAX(position), -1) FROM spaces "
            "WHERE died = ? AND is_current = 1 AND modality = (SELECT modality FROM spaces WHERE space_id = ?)"
        )
        position = int(scalar(connection, query, (FOREVER, space_id))) + 1
    else:
        position = scalar(connection, "SELECT position FROM spaces WHERE space_id = ?", (replaces,))
        _update_space(connection, replaces, kept_since=now(), is_current=0)
    _update_space(connection, space_id, kept_since=None, is_current=1, position=position)


def drop(writer: Writer, space_id: int) -> DropReport:
    """Remove a space and its vectors from the collection. The caller decides whether it may go.

    Its files stay for readers of earlier generations and are retired as usual.
    """
    from imseek.data.catalog import model_files
    from imseek.data.writing.space_build_rows import PART
    from imseek.types.maintenance_reports import DropReport

    info = find(writer, space_id).info
    part_paths: list[str] = []
    counts: list[tuple[int, int]] = []

    def change(connection: Connection, generation: int) -> None:
        query = "SELECT path, kind, size FROM files WHERE died = ? AND space_id = ?"
        files = connection.execute(query, (FOREVER, space_id)).fetchall()
        counts.append((len(files), sum(size for _, _, size in files)))
        part_paths.extend(path for path, kind, _ in files if kind == PART)
        shard_catalog.forget_files(connection, part_paths)
        shard_catalog.retire_files(connection, generation, "space_id = ?", (space_id,))
        ended = "UPDATE snapshots SET died = ? WHERE space_id = ? AND died = ?"
        connection.execute(ended, (generation, space_id, FOREVER))
        connection.execute("UPDATE spaces SET is_current = 0, died = ? WHERE space_id = ?", (generation, space_id))
        if (reference := adapter_of(info.encoder)) is not None:
            model_files.drop_unused(connection, generation, reference[0])

    generation = writer.apply(change)
    remove_files(writer.root, part_paths)
    (number, size), *_ = counts
    return DropReport(space_id, info.encoder, files=number, bytes=size, generation=generation)


def _update_space(
    connection: Connection, space_id: int, *, kept_since: str | None, is_current: int, position: int | None = None
) -> None:
    """Put a space in use, at this position, or out of use (None: its position stays)."""
    facts = _parse_object(scalar(connection, "SELECT facts FROM spaces WHERE space_id = ?", (space_id,)))
    facts.pop(KEPT_SINCE, None)
    if kept_since is not None:
        facts[KEPT_SINCE] = kept_since
    connection.execute(
        "UPDATE spaces SET facts = ?, is_current = ?, position = COALESCE(?, position) WHERE space_id = ?",
        (_as_text(facts), is_current, position, space_id),
    )


def _as_text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True)


def _parse_object(text: str) -> dict[str, Any]:
    document = json.loads(text)
    return document if isinstance(document, dict) else {}
