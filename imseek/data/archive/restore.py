"""Restore an archive as a collection: verified and complete, or not at all.

Everything is written into a staging folder beside the new one, fsynced, and put in place by one rename. The catalog
defines the collection; ``collection.json``, ``current.json`` and ``checksums.json`` are regenerated from it. So a
collection that gets a new identity takes the same path as one that keeps it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from operator import methodcaller
from pathlib import Path
from typing import Final
from uuid import uuid4

from imseek.data import layout
from imseek.data.archive.manifest import byte_counter
from imseek.data.archive.tar_stream import ArchiveReader
from imseek.data.catalog import duplicate_judgement_file, model_files
from imseek.data.catalog.catalog_check import find_any_fault
from imseek.data.catalog.catalog_writer import current_of, get_meta, set_meta
from imseek.data.catalog.sql import Connection, column
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_file import check_version, open_catalog
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.collection_records import Current, Identity, encode_record
from imseek.data.files import durable_files
from imseek.data.files.staging import staging_folder
from imseek.data.files.system_errors import translate_os_errors
from imseek.errors import (
    BackupError,
    CollectionExistsError,
    CorruptCollectionError,
    StorageError,
    UsageError,
)
from imseek.progress import Task

VERIFYING: Final = "verifying"
RESTORING: Final = "restoring"


def check(tape: ArchiveReader, task: Task) -> None:
    """Read a whole archive and verify every file against the manifest. Raises BackupError, Cancelled."""
    count = byte_counter(tape.manifest, task, VERIFYING)
    with open(os.devnull, "wb") as sink:
        for _, copy_to in tape.members(count):
            copy_to(sink)


def check_free(folder: Path) -> Path:
    """Check that a collection can be created at ``folder``, which must be missing or empty; returns its real path.

    Raises CollectionExistsError, UsageError.
    """
    folder = Path(os.path.realpath(folder))
    if _is_collection(folder):
        raise CollectionExistsError(
            f"there is a collection at {folder} already", hint="name another folder, or delete it first"
        )
    for parent in folder.parents:
        if _is_collection(parent):
            raise UsageError(f"{folder} is inside the collection {parent}", hint="choose another place")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fault = "is not empty" if folder.is_dir() else "is a file"
        raise CollectionExistsError(f"{folder} {fault}", hint="name a folder of its own")
    if folder.is_mount():
        raise UsageError(f"{folder} is where a disk is mounted", hint="name a folder in it")
    return folder


def _is_collection(folder: Path) -> bool:
    looked_for = (layout.COLLECTION, layout.CATALOG, layout.CURRENT, layout.ADDRESS)
    return layout.holds_collection([name for name in looked_for if os.path.lexists(folder / name)])


def restore(tape: ArchiveReader, folder: Path, *, new_identity: bool, with_undo: bool, task: Task) -> Current:
    """Restore the collection in ``tape`` at ``folder``; returns the content of its ``current.json``.

    Undo journals are restored only ``with_undo``: they can move the user's files, and the archive's author wrote them.

    Raises as :func:`check_free`, BackupError, FormatVersionError where a later imseek wrote the catalog, and
    StorageError where there is no room or the disk fails.
    """
    folder = check_free(folder)
    with translate_os_errors(folder):
        for new_folder in durable_files.make_folder(folder.parent):
            durable_files.sync_folder(new_folder)
        _check_room(tape, folder.parent)
        with staging_folder(folder.parent, f"restore-{folder.name}") as work:
            root = work / "collection"
            root.mkdir(0o700)
            _unpack(tape, root, with_undo, task)
            current = _finalise(tape, root, work, new_identity)
            durable_files.sync_folders(Path(inner) for inner, _, _ in os.walk(root))
            check_free(folder)
            durable_files.publish([(root, folder)])
    return current


def _check_room(tape: ArchiveReader, folder: Path) -> None:
    total, free = tape.manifest.total, shutil.disk_usage(folder).free
    if total > free:
        raise StorageError(
            f"{tape.name} holds {total:,} bytes, but only {free:,} are free at {folder}",
            hint="free some space, or restore it elsewhere; nothing was written",
        )


def _unpack(tape: ArchiveReader, root: Path, with_undo: bool, task: Task) -> None:
    with open(os.devnull, "wb") as sink:
        for entry, copy_to in tape.members(byte_counter(tape.manifest, task, RESTORING)):
            if layout.is_journal(entry.path) and not with_undo:
                copy_to(sink)
                continue
            target = root / entry.path
            durable_files.make_folder(target.parent)
            durable_files.stage_unhashed(target, copy_to)


def _finalise(tape: ArchiveReader, root: Path, work: Path, new_identity: bool) -> Current:
    """Check the catalog against the unpacked files, and regenerate the records from it."""
    _check_catalog(tape, root / layout.CATALOG)
    catalog = SqliteCatalog(root)
    try:
        with catalog.transaction() as connection:
            _check_files(tape, connection)
            if new_identity:
                _assign_identity(connection, root, work)
            uuid, created, places = (get_meta(connection, name) for name in ("uuid", "created", "places"))
            identity = Identity(uuid=uuid, created=created, places=places)
            current = current_of(connection)
        catalog.fold()
    finally:
        catalog.close()
    durable_files.sync_file(root / layout.CATALOG)
    ended = Checksums(identity.uuid, {layout.CATALOG: catalog_checksums.digest_catalog(root)})
    records = {
        root / layout.COLLECTION: encode_record(identity),
        root / layout.CURRENT: encode_record(current),
        root / layout.CHECKSUMS: catalog_checksums.encode_checksums(ended),
    }
    durable_files.write_files(records, staging=work)
    return current


def _check_catalog(tape: ArchiveReader, path: Path) -> None:
    """Check that the catalog is valid and belongs to this collection, before anything is written through it."""
    try:
        check_version(path)
        with closing(open_catalog(path)) as connection:
            fault = find_any_fault(connection)
    except CorruptCollectionError as error:
        raise BackupError(f"{tape.name}: {str(error).replace(str(path), 'its catalog')}") from error
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{tape.name}: its catalog cannot be read ({error})") from error
    if fault is not None:
        raise BackupError(f"{tape.name}: its catalog is not in the form that imseek writes: {fault}")
    if not catalog_backups.is_usable(path, tape.manifest.uuid):
        raise BackupError(f"{tape.name}: its catalog is damaged or belongs to another collection")


def _check_files(tape: ArchiveReader, connection: Connection) -> None:
    """Check that the catalog lists exactly the archived files, since writers will unlink files that it lists."""
    catalog_files = set(connection.execute("SELECT path, size, sha256 FROM files").fetchall())
    archive_files = {(e.path, e.size, e.sha256) for e in tape.manifest.entries if _is_listed(e.path)}
    if catalog_files != archive_files:
        raise BackupError(f"{tape.name}: its catalog does not list the files that are in it")


def _is_listed(path: str) -> bool:
    return path.partition("/")[0] in layout.LISTED_FOLDERS


def _assign_identity(connection: Connection, root: Path, work: Path) -> None:
    """Give the collection a new uuid, also in the files that contain it."""
    uuid = str(uuid4())
    set_meta(connection, "uuid", uuid)
    query = "SELECT path FROM files WHERE kind IN (?, ?)"
    for path in column(connection, query, (duplicate_judgement_file.KIND, model_files.KIND)):
        document = {**json.loads((root / path).read_bytes()), "uuid": uuid}
        document.pop("sha256")
        staged = work / "restated"
        digest = durable_files.stage(staged, methodcaller("write", durable_files.add_checksum(document)))
        durable_files.publish([(staged, root / path)])
        query = "UPDATE files SET size = ?, sha256 = ? WHERE path = ?"
        connection.execute(query, (digest.size, digest.sha256, path))
