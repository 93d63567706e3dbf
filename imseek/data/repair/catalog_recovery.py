"""Restore ``collection.json`` and the catalog.

The new catalog is built in staging: from a backup of the same generation, else from the catalog itself where SQLite
finds it sound, else from an older backup, else from the shards. It adopts shards that it does not know, then replaces
the old catalog by one rename. So a crash leaves what was there before, or no catalog, which can be restored again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from imseek.data import layout
from imseek.data.catalog import duplicate_judgement_file, model_files
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_writer import get_meta, now, set_meta
from imseek.data.catalog.sql import Connection, scalar
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.collection_records import Current, Identity, read_identity, write_identity
from imseek.data.files import durable_files
from imseek.data.files.collection_files import is_file, sync_folders
from imseek.data.repair import orphan_shards
from imseek.data.repair.recovery_evidence import (
    Evidence,
    backup_fault,
    catalog_damage,
    catalog_lag,
    gather_evidence,
)
from imseek.data.words import documents
from imseek.data.writing import space_records
from imseek.data.writing.create import insert_meta
from imseek.data.writing.writer import find_listed_files
from imseek.errors import CorruptCollectionError


@dataclass(slots=True)
class RecoveryLog:
    """What a restore recovered and what it lost, one line each."""

    restored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Folders:
    root: Path
    staging: Path
    unsynced: set[str] = field(default_factory=set)


def restore(root: Path, ledger: RecoveryLog) -> None:
    """Restore the identity and the catalog; the caller must hold the writer's lock.

    Raises CorruptCollectionError where even the encoder of the vectors is unknown.
    """
    folders = _Folders(root, root / layout.STAGING)
    durable_files.recreate_folder(folders.staging)
    if not backend_of(root).is_file:
        _restore_identity(root, folders.staging, ledger)
        return
    evidence = gather_evidence(root)
    if evidence.identity is not None and evidence.identity.format == layout.FORMAT_SERVER_CATALOG:
        raise CorruptCollectionError(
            f"{root / layout.ADDRESS} is missing, so the address of the catalog server is unknown",
            hint="imseek maintain --catalog URL",
        )
    damage = catalog_damage(root, evidence)
    if (fault := damage or catalog_lag(root, evidence)) is not None:
        _replace_catalog(folders, evidence, fault, damage is not None, ledger)
    if evidence.identity is None:
        write_identity(root, _identity_in(root), folders.staging)
        ledger.restored.append(f"{layout.COLLECTION} from the catalog")


def _restore_identity(root: Path, staging: Path, ledger: RecoveryLog) -> None:
    """Restore the identity from a catalog on a server."""
    try:
        read_identity(root)
    except CorruptCollectionError:
        with backend_of(root).freeze() as connection:
            uuid, created, places = (get_meta(connection, name) for name in ("uuid", "created", "places"))
        write_identity(root, Identity(uuid, created, places, layout.FORMAT_SERVER_CATALOG), staging)
        ledger.restored.append(f"{layout.COLLECTION} from the catalog")


def _replace_catalog(folders: _Folders, evidence: Evidence, fault: str, damaged: bool, ledger: RecoveryLog) -> None:
    root, workshop = folders.root, folders.staging / "catalog"
    durable_files.recreate_folder(workshop)
    source = _choose_source(root, evidence)
    if source is not None:
        catalog_backups.copy_catalog(source, workshop / layout.CATALOG)
    catalog = SqliteCatalog(workshop)
    try:
        with catalog.transaction() as connection:
            if source is None:
                _begin_empty(connection, root, evidence)
            previous = int(get_meta(connection, "generation"))
            generation = max(previous, _last_generation(root, evidence.current)) + 1
            if evidence.current is not None and evidence.current.generation > previous:
                space_records.reconcile_spaces(connection, folders, generation, evidence.current)
            adopted = orphan_shards.adopt(connection, folders, generation, evidence.current)
            judgements = duplicate_judgement_file.recover_judgements(connection, folders, generation)
            model_names = model_files.adopt_models(connection, folders, generation)
            documents.forget_index(connection)
            _raise_counters(connection, root, generation, evidence.current)
        catalog.fold()
    finally:
        catalog.close()
    durable_files.sync_file(workshop / layout.CATALOG)
    sync_folders(root, folders.unsynced)
    _set_aside(root)
    # The old catalog's checksum would contradict the new one.
    if evidence.checksums is not None:
        catalog_checksums.write(root, folders.staging, evidence.checksums.without(layout.CATALOG))
    durable_files.publish([(workshop / layout.CATALOG, root / layout.CATALOG)])
    if source is None:
        ledger.restored.append(f"{layout.CATALOG} from the shards ({fault})")
        losses = "sources, places, tags and judgements" if judgements.path is None else "sources, places and tags"
        ledger.lost.append(f"{losses}: `imseek index FOLDER` finds the places again")
    else:
        is_own = source.name == layout.CATALOG
        ledger.restored.append(f"{layout.CATALOG} from {'what is left of it' if is_own else source.name} ({fault})")
        if is_own and damaged:
            ledger.lost.append(f"whatever changed in {layout.CATALOG}: there is no backup of its generation")
        elif evidence.current is None or evidence.current.generation > previous:
            ledger.lost.append(f"places, tags and removals since generation {previous}, if any: `imseek index` helps")
    if judgements.path is not None:
        ledger.restored.append(f"{judgements.count} judgements from {judgements.path}")
    if model_names:
        ledger.restored.append(f"models {', '.join(model_names)}, from {layout.MODELS}/")
    if judgements.damaged:
        ledger.lost.append(f"judgements that only {', '.join(judgements.damaged)} had, if any: it is damaged")
    if adopted:
        ledger.restored.append(f"{adopted} images from shards that the catalog did not know, without their places")


def _choose_source(root: Path, evidence: Evidence) -> Path | None:
    """Choose the catalog or backup to start from: the latest credible generation, preferring a backup."""
    backups = [root / name for name in layout.BACKUPS if is_file(root, name)]
    sources = [path for path in backups if backup_fault(root, path.name, evidence) is None]
    if catalog_backups.is_usable(root / layout.CATALOG, evidence.uuid):
        sources.append(root / layout.CATALOG)
    latest = float("inf") if evidence.current is None else evidence.current.generation

    def generation(path: Path) -> float:
        number = catalog_backups.generation_of(path)
        if path.name != layout.CATALOG and evidence.recorded(path.name) is not None:
            return number  # Its checksum vouches for it; current.json may be older.
        return min(number, latest)  # The generation in the file may itself be corrupt.

    return max(sources, key=lambda path: (generation(path), path.name != layout.CATALOG), default=None)


def _begin_empty(connection: Connection, root: Path, evidence: Evidence) -> None:
    """Initialise an empty catalog, with the encoders that ``current.json`` names."""
    current, identity = evidence.current, evidence.identity
    if current is None:
        raise CorruptCollectionError(
            f"neither the catalog of {root}, nor a backup, nor {layout.CURRENT} can be read: "
            "which encoder made its vectors is lost",
            hint="index the pictures into a new collection: imseek index FOLDER -c NEW",
        )
    insert_meta(connection, identity or Identity(uuid=evidence.uuid or str(uuid4()), created=now()))
    for position, space in enumerate(current.spaces):
        space_records.record_space(connection, space, position)


def _last_generation(root: Path, current: Current | None) -> int:
    """Return the highest generation that any file on disk names, since no reader may see a number reused."""
    files = map(layout.parse, find_listed_files(root).files)
    numbers = [file.generation for file in files if file is not None and file.generation is not None]
    return max([-1 if current is None else current.generation, *numbers])


def _raise_counters(connection: Connection, root: Path, generation: int, current: Current | None) -> None:
    last_id = scalar(connection, "SELECT COALESCE(MAX(image_id), -1) FROM images")
    on_disk = (layout.shard_of(path) for path in find_listed_files(root).files)
    minimums = {
        "next_image_id": max(0 if current is None else current.next_image_id, last_id + 1),
        "next_shard_id": max((shard_id + 1 for shard_id in on_disk if shard_id is not None), default=0),
    }
    for name, value in minimums.items():
        set_meta(connection, name, max(value, int(get_meta(connection, name))))
    set_meta(connection, "generation", generation)
    set_meta(connection, "committed", now())


def _set_aside(root: Path) -> None:
    """Keep the damaged catalog under another name, for manual recovery."""
    suffix = time.strftime("%Y%m%dT%H%M%S")
    while any(root.glob(f"{layout.CATALOG}*.damaged.{suffix}")):
        suffix += "+"  # The clock may have been set back.
    # The log first: it must never lie beside another catalog.
    for name in (f"{layout.CATALOG}-journal", f"{layout.CATALOG}-wal", layout.CATALOG):
        if is_file(root, name):
            durable_files.publish([(root / name, root / f"{name}.damaged.{suffix}")])
    durable_files.discard_files([root / f"{layout.CATALOG}-shm"])


def _identity_in(root: Path) -> Identity:
    catalog = SqliteCatalog(root)
    try:
        with catalog.transaction() as connection:
            uuid, created, places = (get_meta(connection, name) for name in ("uuid", "created", "places"))
    finally:
        catalog.close()
    return Identity(uuid=uuid, created=created, places=places)
