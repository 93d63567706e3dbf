"""Purge: erase the bytes of deleted images from shards, catalog, backups and cache.

Steps, in order:
1. Remove rows of dead images from the parts of spaces being built.
2. Drop models that learned from such images.
3. Drop approximate indexes that contain some; the command rebuilds them afterwards.
4. Unlink every file that no live row of the catalog names.
5. Rewrite shards with dead rows without them, one by one, and unlink the old ones.
6. Delete the catalog's history.
7. Fsync the folders, so that no file comes back.
8. Rewrite the catalog and copy it over both backups.

An interrupted purge leaves a sound collection, and the next one starts over: nothing records that bytes are gone, so
nothing can claim it wrongly.

Quarantined, suspended and missing images are kept. So are judgements: they concern contents, which may return.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from imseek.data import layout
from imseek.data.catalog import model_files
from imseek.data.catalog.catalog_writer import get_meta, set_meta
from imseek.data.catalog.sql import Connection, column, scalar
from imseek.data.collection_records import FOREVER, Shard
from imseek.data.files import collection_files, durable_files
from imseek.data.files.collection_files import find_files, refuse_strange
from imseek.data.reader import PURGED
from imseek.data.shards import compaction
from imseek.data.vectors import index_renewal
from imseek.data.words import documents
from imseek.data.writing import job_logs, space_build_rows
from imseek.data.writing.writer import Writer, find_listed_files
from imseek.types.maintenance_reports import PurgeReport


def purge(writer: Writer) -> PurgeReport:
    """Remove all remains of what has died. Once this returns, a power cut brings none of it back.

    Open readers move on to the newest generation. Raises CorruptCollectionError where a shard to rewrite is damaged,
    and LockedError where another program keeps the catalog's write-ahead log in use.
    """
    removals = _RemovalCounts()
    space_build_rows.remove_dead_rows(writer)
    model_names = model_files.drop_models_of_dead_images(writer)
    index_renewal.drop_stale(writer)
    _remove_unlisted_files(writer, removals)
    shards = [shard for shard in writer.current().shards if _has_dead_rows(writer, shard)]
    for shard in shards:
        compaction.merge(writer, [shard])
        _remove_unlisted_files(writer, removals)  # After each shard: people purge when space is short.
    with writer.transaction() as connection:
        images, records = _delete_history(connection)
    # Sweeps of retired files, by this run or an earlier one, do not fsync their folders.
    everywhere = find_files(writer.root, *layout.FOLDERS).folders
    collection_files.sync_folders(writer.root, ("", *everywhere))
    durable_files.remove_tree(writer.root / layout.CACHE)  # Only empty folders are left in it.
    scrub_notes = writer.catalog.scrub()
    for name in layout.BACKUPS:
        writer.renew_backup(name)
    notes = tuple(f"{name} was trained on images that have been removed, so it was removed too" for name in model_names)
    return PurgeReport(images, records, len(shards), removals.files, removals.bytes, notes + scrub_notes)


@dataclass(slots=True)
class _RemovalCounts:
    files: int = 0
    bytes: int = 0


def _remove_unlisted_files(writer: Writer, removals: _RemovalCounts) -> None:
    """Unlink every file that no live row names, and files set aside, cached, or left in staging."""
    root = writer.root
    files = find_listed_files(root).files  # Before the catalog is read, as in a writer's sweep.
    with writer.transaction() as connection:
        live_paths = set(column(connection, "SELECT path FROM files WHERE died = ?", (FOREVER,)))
    unnamed = [path for path in files if path not in live_paths]
    unnamed += [name for name in os.listdir(root) if layout.is_set_aside(name)]
    listing = find_files(root, layout.CACHE, layout.STAGING)
    refuse_strange(root, listing.strange)
    unnamed += listing.files
    unnamed += job_logs.find_ended_logs(root)  # Logs name files that may be gone now.
    stats = (collection_files.stat_file(root, path) for path in unnamed)
    removals.bytes += sum(s.st_size for s in stats if s is not None)
    removals.files += collection_files.remove_files(root, unnamed)


def _has_dead_rows(writer: Writer, shard: Shard) -> bool:
    """Whether a shard has rows whose image has died or lies in another shard now."""
    query = "SELECT COUNT(*) FROM images WHERE shard_id = ? AND died = ?"
    with writer.catalog.transaction() as connection:
        return int(scalar(connection, query, (shard.shard_id, FOREVER))) < shard.rows


def _delete_history(connection: Connection) -> tuple[int, int]:
    """Delete the catalog's history. Return how many rows of images, and how many rows in all, were deleted."""
    images = connection.execute("DELETE FROM images WHERE died <> ?", (FOREVER,)).rowcount
    # Keep the last place of a live image without a place: it says to which source the image belongs.
    places = (
        "DELETE FROM places WHERE died <> ? AND place_id NOT IN ("
        "SELECT MAX(place_id) FROM places WHERE image_id IN (SELECT image_id FROM images) GROUP BY image_id)"
    )
    records = images + connection.execute(places, (FOREVER,)).rowcount
    for table in ("tags", "albums", "shards", "snapshots", "files"):
        records += connection.execute(f"DELETE FROM {table} WHERE died <> ?", (FOREVER,)).rowcount  # noqa: S608
    for table in ("failures", "containers"):
        query = f"DELETE FROM {table} WHERE source_id NOT IN (SELECT source_id FROM sources WHERE died = ?)"  # noqa: S608
        records += connection.execute(query, (FOREVER,)).rowcount
    # A source keeps its number, which is never reused.
    sources = "UPDATE sources SET root = ?, options = '{}' WHERE died <> ? AND root <> ?"
    records += connection.execute(sources, (b"", FOREVER, b"")).rowcount
    documents.delete_dead(connection)
    # Readers must not mistake a deleted row for one that never existed.
    set_meta(connection, PURGED, get_meta(connection, "generation"))
    return images, records
