"""Purging: what has left a collection leaves its bytes too, in shards, catalog, backups and cache.

Order: rows of images that have died leave the parts of a space that is being built; models that learned from such
images go; approximate indexes that hold some are dropped (the command builds them again afterwards); every file that
no live row of the catalog names is unlinked; shards with rows of images that have died are written anew without them,
one by one, and the old ones unlinked; then the rows that tell of the past are deleted; then the folders are fsynced,
so that no file comes back; then the catalog is written anew, and copied over both backups. Dying on the way leaves a
sound collection, and purging it again starts over: nothing records that bytes are gone, so nothing can claim it
wrongly.

Kept are images that are quarantined, suspended, or wait for their place to be found; and judgements, which speak of
contents, also of ones that may come back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from imseek.data import (
    collection_files,
    compaction,
    durable_files,
    job_logs,
    layout,
    model_files,
    rebuild_rows,
    snapshots,
)
from imseek.data import schema as t
from imseek.data.catalog import get_meta, live, set_meta
from imseek.data.collection_files import find_files, refuse_strange
from imseek.data.current_file import Shard
from imseek.data.reader import PURGED
from imseek.data.schema import FOREVER
from imseek.data.writer import Writer, listed_folders
from imseek.types import PurgeReport


def purge(writer: Writer) -> PurgeReport:
    """Remove what is left of all that has died. When this returns, a power cut brings none of it back.

    Readers at work take the newest generation. Raises CorruptCollectionError where a shard that must be written anew
    is damaged, and LockedError where another program holds on to the catalog's log.
    """
    removed = _Removed()
    rebuild_rows.forget_dead(writer)
    forgotten = model_files.forget_learned(writer)
    snapshots.drop_stale(writer)
    _remove_unnamed(writer, removed)
    stale = [shard for shard in writer.current().shards if _has_dead_rows(writer, shard)]
    for shard in stale:
        compaction.merge(writer, [shard])
        _remove_unnamed(writer, removed)  # One by one: people purge where space is short.
    with writer.transaction() as connection:
        images, records = _forget(connection)
    # The sweep of retired files, this run's or an earlier one's, leaves that to time.
    everywhere = find_files(writer.root, *layout.FOLDERS).folders
    collection_files.sync_folders(writer.root, ("", *everywhere))
    durable_files.remove_tree(writer.root / layout.CACHE)  # Its folders, which are empty now.
    writer.catalog.scrub()
    for name in layout.BACKUPS:
        writer.renew_backup(name)
    notes = tuple(f"{name} had learned from images that have gone: it is gone too" for name in forgotten)
    if writer.catalog.is_shared:
        notes += (
            "the tables of the catalog are written anew; the log and the backups of its server are not ours",
        )
    return PurgeReport(images, records, len(stale), removed.files, removed.bytes, notes)


@dataclass(slots=True)
class _Removed:
    files: int = 0
    bytes: int = 0


def _remove_unnamed(writer: Writer, removed: _Removed) -> None:
    """Unlink every file that no live row names, and what lies beside: set aside, cached, left in staging."""
    root = writer.root
    there = listed_folders(root).files  # Before the catalog is asked, as when a writer sweeps.
    with writer.transaction() as connection:
        named = set(connection.execute(select(t.files.c.path).where(live(t.files))).scalars())
    unnamed = [path for path in there if path not in named]
    unnamed += [name for name in os.listdir(root) if layout.is_set_aside(name)]
    found = find_files(root, layout.CACHE, layout.STAGING)
    refuse_strange(root, found.strange)
    unnamed += found.files
    unnamed += job_logs.ended(root)  # They name files that may have gone since.
    stats = (collection_files.stat_file(root, path) for path in unnamed)
    removed.bytes += sum(one.st_size for one in stats if one is not None)
    removed.files += collection_files.remove_files(root, unnamed)


def _has_dead_rows(writer: Writer, shard: Shard) -> bool:
    """Whether there are rows whose image has died, or lies in another shard now."""
    i = t.images.c
    query = select(func.count()).where(i.shard_id == shard.shard_id, live(t.images))
    with writer.catalog.transaction() as connection:
        return int(connection.execute(query).scalar_one()) < shard.rows


def _forget(connection: Connection) -> tuple[int, int]:
    """Delete the rows that tell of the past. Returns how many were of images, and how many there were in all."""
    p, s = t.places.c, t.sources.c
    images = connection.execute(delete(t.images).where(t.images.c.died != FOREVER)).rowcount
    # Where an image lay last that lives without a place is not past: it tells to which source it belongs.
    last = (
        select(func.max(p.place_id)).where(p.image_id.in_(select(t.images.c.image_id))).group_by(p.image_id)
    )
    statements = [
        delete(t.places).where(p.died != FOREVER, p.place_id.not_in(last)),
        *(delete(table).where(table.c.died != FOREVER) for table in (t.tags, t.shards, t.snapshots, t.files)),
        *(
            delete(table).where(table.c.source_id.not_in(select(s.source_id).where(live(t.sources))))
            for table in (t.failures, t.containers)
        ),
        # A source keeps its number, which is never given to another.
        update(t.sources).where(s.died != FOREVER, s.root != b"").values(root=b"", options="{}"),
    ]
    records = images + sum(connection.execute(statement).rowcount for statement in statements)
    # Readers must not take a row that has been deleted for one that never was.
    set_meta(connection, PURGED, get_meta(connection, "generation"))
    return images, records
