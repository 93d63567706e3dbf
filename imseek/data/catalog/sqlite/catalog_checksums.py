"""``checksums.json``: digests of the catalog and its backups as the last writer left them.

Every other file is written once and has its sha256 in the catalog. SQLite keeps no checksums, so bit rot in a value
passes its integrity check. So a writer ends by recording a sha256 of the whole catalog; the next one starts by
comparing it and revoking the record that it is about to invalidate. After a kill the catalog has no checksum until a
writer ends normally; only SQLite's own checks apply meanwhile.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imseek.data import layout
from imseek.data.catalog.sqlite import catalog_backups
from imseek.data.catalog.sqlite.catalog_file import connect_file
from imseek.data.collection_records import uuid_text
from imseek.data.files import durable_files
from imseek.data.files.checked_json import JsonObject
from imseek.data.files.checksummed_json import read_checksummed
from imseek.data.files.collection_files import digest
from imseek.data.files.durable_files import FileDigest
from imseek.errors import CorruptCollectionError, repair_command


@dataclass(frozen=True, slots=True)
class Checksums:
    """Size and sha256 by file name, for the collection ``uuid``. Files missing from ``files`` cannot be checked."""

    uuid: str
    files: Mapping[str, FileDigest]

    def without(self, name: str) -> Checksums:
        return replace(self, files={n: file_digest for n, file_digest in self.files.items() if n != name})

    def with_digest(self, name: str, file_digest: FileDigest) -> Checksums:
        return replace(self, files={**self.files, name: file_digest})


def read(root: Path) -> Checksums:
    """Read the record. Raises CorruptCollectionError where it is damaged or missing."""
    try:
        document = JsonObject(read_checksummed(root, layout.CHECKSUMS), ("format", "uuid", "files"))
        files = document.object("files", (layout.CATALOG, *layout.BACKUPS))
        return Checksums(uuid_text(document), {name: _parse_digest(files.object(name)) for name in files})
    except ValueError as error:
        raise CorruptCollectionError(f"{root / layout.CHECKSUMS} is not a checksum file") from error


def _parse_digest(entry: JsonObject) -> FileDigest:
    return FileDigest(entry.whole("size"), entry.text("sha256"))


def encode_checksums(checksums: Checksums) -> bytes:
    """Encode the content of ``checksums.json``."""
    return durable_files.add_checksum({"format": layout.FORMAT, **asdict(checksums)})


def write(root: Path, staging: Path, checksums: Checksums) -> None:
    durable_files.write_file(root / layout.CHECKSUMS, encode_checksums(checksums), staging=staging)


def digest_catalog(root: Path) -> FileDigest:
    """Compute the digest of the catalog's content, including what is still in the write-ahead log.

    It reads through SQLite and never opens the file itself: closing it would drop the locks that SQLite holds on it in
    this process (sqlite.org/howtocorrupt.html, 2.2). The bytes are those of SQLite's serialisation, page by page: a
    whole serialisation would have to fit into memory, and SQLite limits it to two gigabytes.
    """
    with connect_file(root) as connection:
        hasher, size = hashlib.sha256(), 0
        for page in _pages(connection):
            hasher.update(page)
            size += len(page)
    return FileDigest(size, hasher.hexdigest())


def _pages(connection: sqlite3.Connection) -> Iterator[bytes]:
    """Yield the pages of a database in order, from one read transaction."""
    try:
        pages = connection.execute("SELECT data FROM sqlite_dbpage ORDER BY pgno")
    except sqlite3.OperationalError:  # SQLite was built without ``sqlite_dbpage``.
        yield connection.serialize()
        return
    for (page,) in pages:
        yield page


def verify_and_revoke(root: Path, staging: Path, uuid: str) -> Checksums:
    """Verify the catalog against its record, and revoke that record before the catalog is written to.

    Returns the remaining records. Raises CorruptCollectionError where the catalog is not as the last writer left it.
    """
    try:
        checksums = read(root)
    except CorruptCollectionError:
        checksums = Checksums(uuid, {})
    if checksums.uuid != uuid:
        checksums = Checksums(uuid, {})
    if layout.CATALOG not in checksums.files:
        return checksums
    if digest_catalog(root) != checksums.files[layout.CATALOG]:
        raise CorruptCollectionError(
            f"{root / layout.CATALOG} differs from what the last writer saved",
            hint=repair_command(root),
        )
    return revoke(root, staging, checksums, layout.CATALOG)


def revoke(root: Path, staging: Path, checksums: Checksums, name: str) -> Checksums:
    """Revoke the record of a file that is about to be replaced; returns the remaining records."""
    if name not in checksums.files:
        return checksums
    remaining = checksums.without(name)
    write(root, staging, remaining)
    return remaining


def record_catalog(root: Path, staging: Path, checksums: Checksums) -> None:
    """Record the catalog's current digest, along with ``checksums``, those of the backups."""
    for name in layout.BACKUPS:
        if name not in checksums.files and catalog_backups.is_usable(root / name, checksums.uuid):
            checksums = checksums.with_digest(name, digest(root, name))
    write(root, staging, checksums.with_digest(layout.CATALOG, digest_catalog(root)))
