"""``checksums.json``: the catalog and its backups as the last writer left them.

Every other file is written once, with its sha256 in the catalog. SQLite keeps no checksums, so a value that
rots on the disk passes its integrity check. So a writer's last act is to record a sha256 of the whole catalog,
and the first act of the next is to compare, and to take back what it is about to make untrue. After a kill the
catalog has no checksum until a writer has ended in peace; SQLite's own checks are all there is meanwhile.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imseek.data import catalog_backups, durable_files, layout
from imseek.data.catalog_file import connect_file
from imseek.data.collection_files import digest
from imseek.data.current_file import read_sealed, uuid_text
from imseek.data.durable_files import Written
from imseek.data.json_object import JsonObject
from imseek.errors import CorruptCollectionError


@dataclass(frozen=True, slots=True)
class Checksums:
    """Of the collection ``uuid``: size and sha256 by file name. What is not in ``files`` cannot be checked."""

    uuid: str
    files: Mapping[str, Written]

    def without(self, name: str) -> Checksums:
        return replace(self, files={n: written for n, written in self.files.items() if n != name})

    def having(self, name: str, written: Written) -> Checksums:
        return replace(self, files={**self.files, name: written})


def read(root: Path) -> Checksums:
    """Raises CorruptCollectionError where the record is damaged or missing."""
    try:
        document = JsonObject(read_sealed(root, layout.CHECKSUMS), ("format", "uuid", "files"))
        listed = document.object("files", (layout.CATALOG, *layout.BACKUPS))
        return Checksums(uuid_text(document), {name: _written(listed.object(name)) for name in listed})
    except ValueError as error:
        raise CorruptCollectionError(f"{root / layout.CHECKSUMS} is no record of checksums") from error


def _written(found: JsonObject) -> Written:
    return Written(found.whole("size"), found.text("sha256"))


def sealed(checksums: Checksums) -> bytes:
    """The content of ``checksums.json``."""
    return durable_files.seal({"format": layout.FORMAT, **asdict(checksums)})


def write(root: Path, staging: Path, checksums: Checksums) -> None:
    durable_files.write_file(root / layout.CHECKSUMS, sealed(checksums), staging=staging)


def of_catalog(root: Path) -> Written:
    """Of the catalog's content, whether or not a write-ahead log holds some of it.

    Through SQLite, never by opening the file: closing it would drop the locks that SQLite holds on it in this
    process (sqlite.org/howtocorrupt.html, 2.2). The bytes are those of its serialisation, page by page: all at once
    they would have to fit into memory, and SQLite makes no more than two gigabytes of them.
    """
    with connect_file(root) as connection:
        seen, size = hashlib.sha256(), 0
        for page in _pages(connection):
            seen.update(page)
            size += len(page)
    return Written(size, seen.hexdigest())


def _pages(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The content of a database, in order and as of one moment."""
    try:
        pages = connection.execute("SELECT data FROM sqlite_dbpage ORDER BY pgno")
    except sqlite3.OperationalError:  # SQLite was built without it.
        yield connection.serialize()
        return
    for (page,) in pages:
        yield page


def begin(root: Path, staging: Path, uuid: str) -> Checksums:
    """Compare the catalog with its record and take that back, before it is written to; returns the others.

    Raises CorruptCollectionError where the catalog is not as it was left.
    """
    try:
        recorded = read(root)
    except CorruptCollectionError:
        recorded = Checksums(uuid, {})
    if recorded.uuid != uuid:
        recorded = Checksums(uuid, {})
    if layout.CATALOG not in recorded.files:
        return recorded
    if of_catalog(root) != recorded.files[layout.CATALOG]:
        raise CorruptCollectionError(
            f"{root / layout.CATALOG} is not as the last writer left it",
            hint=f"imseek collection repair {root}",
        )
    return take_back(root, staging, recorded, layout.CATALOG)


def take_back(root: Path, staging: Path, recorded: Checksums, name: str) -> Checksums:
    """Take back what is ``recorded`` of a file that is about to be replaced; returns the rest."""
    if name not in recorded.files:
        return recorded
    rest = recorded.without(name)
    write(root, staging, rest)
    return rest


def end(root: Path, staging: Path, recorded: Checksums) -> None:
    """Record the catalog as it is now, beside what was ``recorded`` of the backups."""
    for name in layout.BACKUPS:
        if name not in recorded.files and catalog_backups.usable(root / name, recorded.uuid):
            recorded = recorded.having(name, digest(root, name))
    write(root, staging, recorded.having(layout.CATALOG, of_catalog(root)))
