"""Hold one generation of a collection while writers continue: a copy of its catalog, and its files open.

The catalog lists the files of its generation with sizes and checksums. So the files are opened within the transaction
that copies the catalog. Open files can be read even after they are unlinked. If a file was unlinked just before, its
generation is outdated, and the next one is tried.

An archive has its catalog in SQLite, wherever the collection has its own.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, delete, select, update

from imseek.data import layout
from imseek.data.archive.manifest import Entry
from imseek.data.catalog import catalog_backups, catalog_checksums
from imseek.data.catalog import schema as t
from imseek.data.catalog.catalog import Catalog, current_of, get_meta, live, now
from imseek.data.catalog.catalog_checksums import Checksums
from imseek.data.catalog.catalog_file import open_catalog
from imseek.data.catalog.schema import FOREVER
from imseek.data.catalog.sqlite_errors import storage_error
from imseek.data.current_file import Current, Identity, encode_record, read_identity
from imseek.data.files import durable_files
from imseek.data.files.collection_files import find_files, open_file
from imseek.data.repair.error_diagnosis import note_opened
from imseek.data.vectors import snapshot_files
from imseek.errors import CorruptCollectionError, StaleGenerationError

#: Generations to try before giving up on a fast writer, and seconds between the attempts.
_TRIES: Final = 20
_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class GenerationSnapshot:
    """One generation: all its files in archive order, each open for reading at its beginning."""

    current: Current
    files: Mapping[Entry, BinaryIO]


class _MissingFile(Exception):  # noqa: N818 - not an error yet
    def __init__(self, path: str, generation: int) -> None:
        self.path, self.generation = path, generation


@contextmanager
def open_generation(root: Path, work: Path, *, index: bool) -> Iterator[GenerationSnapshot]:
    """Open the newest generation; ``work`` is an empty folder for the copy of the catalog.

    Without ``index``, approximate indexes are left out. Raises CollectionNotFoundError, FormatVersionError,
    CorruptCollectionError where something is missing or damaged, StaleGenerationError where files vanish faster than
    they can be opened, StorageError.
    """
    note_opened(root)
    identity = read_identity(root)
    last = None
    for _ in range(_TRIES):
        with ExitStack() as stack:
            try:
                opened = _open_files(root, work, identity.uuid, index, stack)
                found = _build_snapshot(root, work, identity, opened, index, stack)
            except _MissingFile as gone:
                if gone.generation == last:
                    raise _corrupt(root, f"{root / gone.path} is missing") from None
                last = gone.generation
                time.sleep(_PAUSE)
                continue
            yield found
            return
    raise StaleGenerationError(
        f"{root}: a writer removed files of each of {_TRIES} generations before they could be opened",
        hint="try again, or when it has ended",
    )


def _open_files(root: Path, work: Path, uuid: str, index: bool, stack: ExitStack) -> dict[str, BinaryIO]:
    """Copy the catalog into ``work`` and open the files of its generation, by path."""
    if layout.has_server_catalog(root):
        return _open_from_server(root, work, uuid, index, stack)
    target = work / layout.CATALOG
    recorded = _read_recorded_digest(root)
    sound = recorded is None or catalog_checksums.digest_catalog(root) == recorded
    if not sound and _read_recorded_digest(root) == recorded:  # Otherwise a writer has started in between.
        raise _corrupt(root, f"{root / layout.CATALOG} is not as the last writer left it")
    try:
        with closing(open_catalog(root / layout.CATALOG)) as catalog:
            catalog.execute("BEGIN")
            stated = catalog.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
            generation = -1 if stated is None else int(stated[0])
            files = catalog.execute("SELECT path, kind, size FROM files WHERE died = ?", (FOREVER,))
            opened = _open_listed_files(root, files.fetchall(), generation, index, stack)
            with _translate_full_disk(target):
                catalog_backups.copy_connection(catalog, target)
    except sqlite3.DatabaseError as error:
        raise storage_error(error, root / layout.CATALOG) from error
    # A matching checksum makes SQLite's integrity check unnecessary.
    vouched = recorded is not None and sound and _read_recorded_digest(root) == recorded
    if catalog_backups.uuid_of(target) != uuid or not (vouched or catalog_backups.is_usable(target, uuid)):
        raise _corrupt(root, f"{root / layout.CATALOG} is damaged, or another collection's")
    return opened


@contextmanager
def _translate_full_disk(target: Path) -> Iterator[None]:
    """Attribute a full disk to the copy. Raises StorageError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise storage_error(error, target, writing=True) from error
        raise


def _open_from_server(
    root: Path, work: Path, uuid: str, index: bool, stack: ExitStack
) -> dict[str, BinaryIO]:
    """As :func:`_open_files`, for a catalog on a server: copy its rows, as of one moment, into a catalog file."""
    from imseek.data.catalog.postgres.catalog import connect_repeatable_read
    from imseek.data.catalog.postgres.row_copy import copy_rows

    with connect_repeatable_read(root) as connection, closing(Catalog(work)) as target:
        if get_meta(connection, "uuid") != uuid:
            raise CorruptCollectionError(f"the catalog of {root} belongs to another collection")
        f = t.files.c
        files = connection.execute(select(f.path, f.kind, f.size).where(f.died == FOREVER)).all()
        generation = int(get_meta(connection, "generation"))
        opened = _open_listed_files(root, files, generation, index, stack)
        with target.transaction() as writing:
            copy_rows(connection, writing)
    return opened


def _read_recorded_digest(root: Path) -> durable_files.FileDigest | None:
    try:
        return catalog_checksums.read(root).files.get(layout.CATALOG)
    except CorruptCollectionError:
        return None


def _open_listed_files(
    root: Path, files: Iterable[Any], generation: int, index: bool, stack: ExitStack
) -> dict[str, BinaryIO]:
    """Open the listed files; ``files`` are rows of path, kind and size."""
    return {
        path: _open_listed_file(root, path, size, generation, stack)
        for path, kind, size in files
        if index or kind != snapshot_files.KIND
    }


def _open_listed_file(root: Path, path: str, size: int, generation: int, stack: ExitStack) -> BinaryIO:
    try:
        if layout.parse(path) is None:
            raise _corrupt(root, f"the catalog of {root} lists {path!r}, which is no file of a collection")
        file = stack.enter_context(open_file(root, path))
    except FileNotFoundError:
        raise _MissingFile(path, generation) from None
    there = os.fstat(file.fileno()).st_size
    if there != size:
        raise _corrupt(root, f"{root / path} is damaged: {there:,} bytes, not {size:,}")
    return file


def _build_snapshot(
    root: Path, work: Path, identity: Identity, opened: Mapping[str, BinaryIO], index: bool, stack: ExitStack
) -> GenerationSnapshot:
    catalog = Catalog(work)  # Migrates a copy of an older version.
    try:
        with catalog.transaction() as connection:
            _drop_local_state(connection, index)
            current = current_of(connection)
            f = t.files.c
            rows = connection.execute(select(f.path, f.size, f.sha256).order_by(f.path)).all()
        catalog.fold()
    finally:
        catalog.close()
    copied = catalog_checksums.digest_catalog(work)
    ended = Checksums(identity.uuid, {layout.CATALOG: copied})
    files: dict[Entry, BinaryIO] = {}
    for name, record in (
        (
            layout.COLLECTION,
            encode_record(replace(identity, format=layout.FORMAT)),
        ),  # The archived catalog is a file.
        (layout.CURRENT, encode_record(current)),
        (layout.CHECKSUMS, catalog_checksums.encode_checksums(ended)),
    ):
        files[Entry(name, len(record), hashlib.sha256(record).hexdigest())] = io.BytesIO(record)
    whole = durable_files.digest_of(work / layout.CATALOG)
    copy = stack.enter_context((work / layout.CATALOG).open("rb", buffering=0))
    files[Entry(layout.CATALOG, whole.size, whole.sha256)] = copy
    files |= {Entry(path, size, sha256): opened[path] for path, size, sha256 in rows}
    files |= _open_journals(root, stack)
    return GenerationSnapshot(current, files)


def _drop_local_state(connection: Connection, index: bool) -> None:
    """Remove what applies only to this folder: runs in progress, retired files, and snapshots without ``index``."""
    connection.execute(
        update(t.runs).where(t.runs.c.state == "running").values(state="interrupted", ended_at=now())
    )
    connection.execute(delete(t.files).where(t.files.c.died != FOREVER))
    if not index:
        connection.execute(delete(t.files).where(t.files.c.kind == snapshot_files.KIND))
        died = int(get_meta(connection, "generation"))
        connection.execute(update(t.snapshots).where(live(t.snapshots)).values(died=died))


def _open_journals(root: Path, stack: ExitStack) -> dict[Entry, BinaryIO]:
    """Open the undo journals as they are now: more recent than the catalog, so they cover at least what it knows.

    Lines are only appended, so what is there now is read, and later lines are not.
    """
    found: dict[Entry, BinaryIO] = {}
    for path in filter(layout.is_journal, find_files(root, layout.UNDO).files):
        try:
            file = stack.enter_context(open_file(root, path))
        except FileNotFoundError:  # Fully undone, then purged.
            continue
        info = os.fstat(file.fileno())
        if info.st_nlink > 1:  # Not imseek's, which makes no hard links: it may be any file of the user.
            continue
        size = info.st_size
        seen, left = hashlib.sha256(), size
        while left and (chunk := file.read(min(left, 2**20))):
            seen.update(chunk)
            left -= len(chunk)
        file.seek(0)
        found[Entry(path, size - left, seen.hexdigest())] = file
    return found


def _corrupt(root: Path, message: str) -> CorruptCollectionError:
    return CorruptCollectionError(message, hint=f"imseek collection repair {root}")
