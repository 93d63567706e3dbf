"""Commit one changeset as one generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from imseek.data import layout
from imseek.data.catalog import shard_catalog, spaces
from imseek.data.catalog.catalog_writer import LIVE, QUARANTINED, SUSPENDED, modalities
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.catalog.sql import Connection, execute_in, insert, scalar, select_in
from imseek.data.catalog.tag_reader import is_from_model
from imseek.data.collection_records import FOREVER
from imseek.data.shards import shard_files
from imseek.data.shards.sidecar_annotations import read_edits, replace_sidecars, stage_edits, stage_sidecars
from imseek.data.user_files.file_stat import UNKNOWN_SIDECARS, FileStat
from imseek.data.words import documents
from imseek.data.writing.writer import Writer

#: Stat columns, named after the fields.
_STAT = tuple(field.name for field in fields(FileStat))


def commit(writer: Writer, batch: Changeset) -> int:
    """Make a changeset durable; returns the generation.

    The changeset is acknowledged when this returns. An empty one changes nothing. A process killed before that leaves
    all of it or nothing.
    """
    if not batch:
        return writer.generation
    new = _assign_ids(writer, batch.new)
    shard_id = writer.take_shard() if new else None

    def change(connection: Connection, generation: int) -> None:
        edits = _carried_edits(writer, connection, new)
        if shard_id is not None:
            _store_shard(writer, connection, generation, shard_id, new, edits)
        # Old places end before new ones begin at the same path.
        _end_places(connection, generation, batch)
        _carry_tags(connection, generation, new)
        _add_images(connection, generation, shard_id, new)
        changed_shards = shard_catalog.change_state(connection, batch.suspended, LIVE, SUSPENDED)
        for state in (SUSPENDED, QUARANTINED):  # A quarantined file may have been restored by hand.
            changed_shards |= shard_catalog.change_state(connection, _ids_seen_again(batch), state, LIVE)
        changed_shards |= shard_catalog.mark_dead(connection, generation, sorted(set(batch.gone)))
        if shard_id is not None and any(image.image_id is not None for _, image in new):
            # A returning image may be quarantined: its row must not be searched.
            changed_shards.add(shard_id)
        for shard in sorted(changed_shards):
            shard_catalog.write_dead_rows(writer, connection, generation, shard)
        _add_places(connection, generation, [(image_id, n, n.sidecar_stat) for image_id, n in new])
        _add_places(connection, generation, [(p.image_id, p, UNKNOWN_SIDECARS) for p in batch.moved])
        words = [(i, n.source_id, n.path, {**n.metadata, **edits.get(i, {})}) for i, n in new]
        documents.add(connection, generation, words)
        spaces.note_stale_captions(connection, sum("caption" in edit for edit in edits.values()))
        documents.rename(connection, generation, [(p.image_id, p.source_id, p.path) for p in batch.moved])
        _note_checks(connection, batch)
        _note_failures(writer, connection, batch)
        _note_containers(connection, batch)
        _note_sidecars(writer, connection, generation, batch)

    return writer.apply(change)


def _ids_seen_again(batch: Changeset) -> list[int]:
    """Return ids of images that were stored before and whose content was read again in this changeset."""
    ids = [place.image_id for place in (*batch.checked, *batch.moved)]
    return ids + [image.image_id for image in batch.new if image.image_id is not None]


def _assign_ids(writer: Writer, new: list[NewImage]) -> list[tuple[int, NewImage]]:
    """Assign ids to new images, in ascending order: the row order of a shard."""
    fresh = iter(writer.take_ids(sum(image.image_id is None for image in new)))
    return sorted(
        ((next(fresh) if image.image_id is None else image.image_id, image) for image in new),
        key=lambda pair: pair[0],
    )


def _store_shard(
    writer: Writer,
    connection: Connection,
    generation: int,
    shard_id: int,
    new: list[tuple[int, NewImage]],
    edits: Mapping[int, Mapping[str, Any]],
) -> None:
    rows_of = [(image_id, image.metadata if image.row is None else image.row) for image_id, image in new]
    table = shard_files.table_of([{**row, "image_id": image_id} for image_id, row in rows_of])
    ids = np.array([image_id for image_id, _ in new], np.int64)
    staged = [
        shard_catalog.stage(writer, layout.metadata(shard_id), "metadata", table),
        shard_catalog.stage(writer, layout.ids(shard_id), "ids", ids),
    ]
    staged += stage_sidecars(writer, shard_id, generation, ids.tolist(), [image.sidecar for _, image in new])
    staged += stage_edits(writer, shard_id, generation, ids.tolist(), edits)
    modality_of = modalities(connection)
    for space_id in sorted(new[0][1].vectors):
        rows = np.stack([image.vectors[space_id] for _, image in new]).astype(np.float16, copy=False)
        dim = scalar(connection, "SELECT dim FROM spaces WHERE space_id = ?", (space_id,))
        if rows.shape[1] != dim:  # A bug that would break every search.
            raise ValueError(f"vectors of width {rows.shape[1]} for space {space_id} of width {dim}")
        path = layout.vectors(space_id, shard_id, modality_of[space_id])
        staged.append(shard_catalog.stage(writer, path, "vectors", rows, space_id=space_id))
    shard_catalog.add_shard(writer, connection, generation, shard_id, len(new), staged)


def _end_places(connection: Connection, generation: int, batch: Changeset) -> None:
    """End the old places of moved images, and the places that something else now occupies."""
    moved_ids = [p.image_id for p in batch.moved]
    moved_ids += [p.image_id for p in batch.new if p.image_id is not None]
    statement = "UPDATE places SET died = ? WHERE image_id IN (??) AND died = ?"
    execute_in(connection, statement, generation, moved_ids, FOREVER)
    replaced_places = [(p.source_id, p.path) for p in batch.moved if p.replaces is not None]
    replaced_places += [(p.source_id, p.path) for p in batch.new if p.replaces is not None]
    query = "UPDATE places SET died = ? WHERE source_id = ? AND path = ? AND died = ?"
    connection.executemany(query, [(generation, *place, FOREVER) for place in replaced_places])


def _add_images(connection: Connection, generation: int, shard_id: int | None, new: list[tuple[int, NewImage]]) -> None:
    fresh: list[dict[str, Any]] = []
    returning: list[tuple[int | None, int]] = []
    for image_id, image in new:
        if image.image_id is None:
            fresh.append(
                {
                    "image_id": image_id,
                    "content_hash": image.content_hash,
                    "shard_id": shard_id,
                    "state": LIVE,
                    "born": generation,
                    "died": FOREVER,
                }
            )
        else:
            returning.append((shard_id, image_id))
    insert(connection, "images", fresh)
    connection.executemany("UPDATE images SET shard_id = ? WHERE image_id = ?", returning)


def _add_places(connection: Connection, generation: int, places: list[tuple[int, Any, str]]) -> None:
    if not places:
        return
    last = scalar(connection, "SELECT COALESCE(MAX(place_id), 0) FROM places")
    insert(
        connection,
        "places",
        [
            {
                "place_id": last + n,
                "image_id": image_id,
                "source_id": place.source_id,
                "path": place.path,
                **stat_values(place.stat),
                "sidecar_stat": sidecar_stat,
                "born": generation,
                "died": FOREVER,
            }
            for n, (image_id, place, sidecar_stat) in enumerate(places, start=1)
        ],
    )


def _heirs(new: list[tuple[int, NewImage]]) -> dict[int, int]:
    """Return the new ids of images whose content changed, by the old ones."""
    return {
        image.replaces: image_id
        for image_id, image in new
        if image.inherits and image.replaces is not None and image.replaces != image_id
    }


def _carried_edits(
    writer: Writer, connection: Connection, new: list[tuple[int, NewImage]]
) -> dict[int, dict[str, Any]]:
    """Return users' edits, by new id, of images whose content changed or that moved to another shard."""
    old_ids = {image_id: old for old, image_id in _heirs(new).items()}
    old_ids.update((image_id, image_id) for image_id, image in new if image.image_id is not None)
    edits = read_edits(writer, connection, old_ids.values())
    return {image_id: edits[old] for image_id, old in old_ids.items() if old in edits}


def _carry_tags(connection: Connection, generation: int, new: list[tuple[int, NewImage]]) -> None:
    """Copy the tags of an image whose content changed to its new id, noting that in their provenance.

    Tags that a model assigned are not copied: they described another picture.
    """
    new_ids = _heirs(new)
    query = "SELECT image_id, tag, provenance FROM tags WHERE image_id IN (??) AND died = ?"
    insert(
        connection,
        "tags",
        [
            {
                "image_id": new_ids[image_id],
                "tag": tag,
                "provenance": f"carried over from {image_id}: {provenance}",
                "born": generation,
                "died": FOREVER,
            }
            for image_id, tag, provenance in select_in(connection, query, sorted(new_ids), FOREVER)
            if not is_from_model(provenance or "")
        ],
    )


def _note_checks(connection: Connection, batch: Changeset) -> None:
    """Update the stat of places whose content was read and is unchanged."""
    columns = ", ".join(f"{name} = ?" for name in _STAT)
    query = f"UPDATE places SET {columns} WHERE image_id = ? AND died = ?"  # noqa: S608
    rows = [(*stat_values(p.stat).values(), p.image_id, FOREVER) for p in batch.checked]
    connection.executemany(query, rows)


def _note_sidecars(writer: Writer, connection: Connection, generation: int, batch: Changeset) -> None:
    """Record the annotations in files beside stored images."""
    if not batch.sidecars:
        return
    connection.executemany(
        "UPDATE places SET sidecar_stat = ? WHERE image_id = ? AND died = ?",
        [(sidecar.stat, image_id, FOREVER) for image_id, sidecar in batch.sidecars.items()],
    )
    values = {image_id: sidecar.values for image_id, sidecar in batch.sidecars.items()}
    changed = replace_sidecars(writer, connection, generation, values)
    documents.refresh(connection, generation, writer.root, list(changed))
    spaces.note_stale_captions(connection, sum("caption" in columns for columns in changed.values()))


def _note_failures(writer: Writer, connection: Connection, batch: Changeset) -> None:
    cleared = {*batch.cleared, *((f.source_id, f.path) for f in batch.failed)}
    connection.executemany("DELETE FROM failures WHERE source_id = ? AND path = ?", list(cleared))
    insert(
        connection,
        "failures",
        [
            {
                "source_id": f.source_id,
                "path": f.path,
                "reason": f.reason,
                "message": f.message,
                **stat_values(f.stat),
                "run_id": writer.run_id,
            }
            for f in batch.failed
        ],
    )


def _note_containers(connection: Connection, batch: Changeset) -> None:
    stats = {(c.source_id, c.path): c.stat for c in batch.containers}
    connection.executemany("DELETE FROM containers WHERE source_id = ? AND path = ?", [*batch.emptied, *stats])
    rows = [{"source_id": i, "path": path, **stat_values(stat)} for (i, path), stat in stats.items()]
    insert(connection, "containers", rows)


def stat_values(stat: FileStat) -> dict[str, int]:
    """Values of the stat columns of ``places``, ``failures`` and ``containers``.

    A database's integers are signed 64-bit. Larger values (a time after 2262, which file systems allow) are capped:
    such a file never compares as unchanged, so every scan reads it again.
    """
    return {name: max(-(2**63), min(getattr(stat, name), 2**63 - 1)) for name in _STAT}
