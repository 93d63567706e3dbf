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
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from imseek.data import layout
from imseek.data.archive.manifest import Entry
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_writer import current_of, get_meta, now
from imseek.data.catalog.sql import Connection
from imseek.data.catalog.sqlite import catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.collection_records import FOREVER, Current, Identity, encode_record, read_identity
from imseek.data.files import durable_files
from imseek.data.files.collection_files import find_files, open_file
from imseek.data.repair.error_diagnosis import note_opened
from imseek.data.vectors import snapshot_publication
from imseek.errors import CorruptCollectionError, StaleGenerationError, repair_command

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
                files = _open_files(root, work, identity.uuid, index, stack)
                snapshot = _build_snapshot(root, work, identity, files, index, stack)
            except _MissingFile as missing:
                if missing.generation == last:
                    raise _corrupt(root, f"{root / missing.path} is missing") from None
                last = missing.generation
                time.sleep(_PAUSE)
                continue
            yield snapshot
            return
    raise StaleGenerationError(
        f"{root}: a writer removed files of each of {_TRIES} generations before they could be opened",
        hint="try again, or wait until the writer has finished",
    )


def _open_files(root: Path, work: Path, uuid: str, index: bool, stack: ExitStack) -> dict[str, BinaryIO]:
    """Copy the catalog into ``work`` and open the files of its generation, by path."""

    def open_listed(files: Sequence[Any], generation: int) -> dict[str, BinaryIO]:
        return _open_listed_files(root, files, generation, index, stack)

    return backend_of(root).copy_to(work, uuid, open_listed)


def _open_listed_files(
    root: Path, files: Iterable[Any], generation: int, index: bool, stack: ExitStack
) -> dict[str, BinaryIO]:
    """Open the listed files; ``files`` are rows of path, kind and size."""
    return {
        path: _open_listed_file(root, path, size, generation, stack)
        for path, kind, size in files
        if index or kind != snapshot_publication.KIND
    }


def _open_listed_file(root: Path, path: str, size: int, generation: int, stack: ExitStack) -> BinaryIO:
    try:
        if layout.parse(path) is None:
            raise _corrupt(root, f"the catalog of {root} lists {path!r}, which is not a file of a collection")
        file = stack.enter_context(open_file(root, path))
    except FileNotFoundError:
        raise _MissingFile(path, generation) from None
    actual_size = os.fstat(file.fileno()).st_size
    if actual_size != size:
        raise _corrupt(root, f"{root / path} is damaged: {actual_size:,} bytes, not {size:,}")
    return file


def _build_snapshot(
    root: Path, work: Path, identity: Identity, open_files: Mapping[str, BinaryIO], index: bool, stack: ExitStack
) -> GenerationSnapshot:
    catalog = SqliteCatalog(work)  # Migrates a copy of an older version.
    try:
        with catalog.transaction() as connection:
            _drop_local_state(connection, index)
            current = current_of(connection)
            rows = connection.execute("SELECT path, size, sha256 FROM files ORDER BY path").fetchall()
        catalog.fold()
    finally:
        catalog.close()
    catalog_digest = catalog_checksums.digest_catalog(work)
    ended = Checksums(identity.uuid, {layout.CATALOG: catalog_digest})
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
    file_digest = durable_files.digest_of(work / layout.CATALOG)
    copy = stack.enter_context((work / layout.CATALOG).open("rb", buffering=0))
    files[Entry(layout.CATALOG, file_digest.size, file_digest.sha256)] = copy
    files |= {Entry(path, size, sha256): open_files[path] for path, size, sha256 in rows}
    files |= _open_journals(root, stack)
    return GenerationSnapshot(current, files)


def _drop_local_state(connection: Connection, index: bool) -> None:
    """Remove what applies only to this folder: runs in progress, retired files, and snapshots without ``index``."""
    connection.execute("UPDATE runs SET state = 'interrupted', ended_at = ? WHERE state = 'running'", (now(),))
    connection.execute("DELETE FROM files WHERE died <> ?", (FOREVER,))
    if not index:
        connection.execute("DELETE FROM files WHERE kind = ?", (snapshot_publication.KIND,))
        died = int(get_meta(connection, "generation"))
        connection.execute("UPDATE snapshots SET died = ? WHERE died = ?", (died, FOREVER))


def _open_journals(root: Path, stack: ExitStack) -> dict[Entry, BinaryIO]:
    """Open the undo journals as they are now: more recent than the catalog, so they cover at least what it knows.

    Lines are only appended, so those present now are read, and later ones are not.
    """
    journals: dict[Entry, BinaryIO] = {}
    for path in filter(layout.is_journal, find_files(root, layout.UNDO).files):
        try:
            file = stack.enter_context(open_file(root, path))
        except FileNotFoundError:  # Fully undone, then purged.
            continue
        info = os.fstat(file.fileno())
        if info.st_nlink > 1:  # Not imseek's, which makes no hard links: it may be any file of the user.
            continue
        size = info.st_size
        digest, remaining = hashlib.sha256(), size
        while remaining and (chunk := file.read(min(remaining, 2**20))):
            digest.update(chunk)
            remaining -= len(chunk)
        file.seek(0)
        journals[Entry(path, size - remaining, digest.hexdigest())] = file
    return journals


def _corrupt(root: Path, message: str) -> CorruptCollectionError:
    return CorruptCollectionError(message, hint=repair_command(root))
