"""Read what a collection's files say about its identity and its catalog, and check them against each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from imseek.data import layout
from imseek.data.catalog.catalog_check import find_any_fault
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_file import check_version, connect_file, is_folded
from imseek.data.collection_records import Current, Identity, read_identity
from imseek.data.current_generation import read_current
from imseek.data.files.collection_files import digest, is_file
from imseek.data.files.durable_files import FileDigest
from imseek.errors import CollectionNotFoundError, CorruptCollectionError

T = TypeVar("T")

#: Size of a catalog in bytes, from its header. SQLite ignores bytes beyond it.
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


@dataclass(frozen=True, slots=True)
class Evidence:
    """``uuid`` is the collection's uuid according to most files; None where none can be read.

    ``identity``, ``current`` and ``checksums`` are None where they are damaged, missing, or another collection's;
    ``faults`` says which, by file name.
    """

    uuid: str | None
    identity: Identity | None
    current: Current | None
    checksums: Checksums | None
    faults: Mapping[str, str]

    def recorded(self, name: str) -> FileDigest | None:
        return None if self.checksums is None else self.checksums.files.get(name)


def gather_evidence(root: Path) -> Evidence:
    """Collect the evidence. Raises CollectionNotFoundError for no collection, FormatVersionError for a later format."""
    if not any((root / name).exists() for name in (layout.COLLECTION, layout.CATALOG, layout.CURRENT)):
        raise CollectionNotFoundError(
            f"no collection at {root}", hint="`imseek collection list` shows the existing ones"
        )
    faults: dict[str, str] = {}
    identity = _try_read(read_identity, root, layout.COLLECTION, faults)
    current = _try_read(read_current, root, layout.CURRENT, faults)
    checksums = _try_read(catalog_checksums.read, root, layout.CHECKSUMS, faults)
    uuids = [None if record is None else record.uuid for record in (identity, current, checksums)]
    uuids += [catalog_backups.uuid_of(root / name) for name in (layout.CATALOG, *layout.BACKUPS)]
    votes = Counter(uuid for uuid in uuids if uuid is not None).most_common(1)
    uuid = votes[0][0] if votes else None
    foreign = "it belongs to another collection"
    if identity is not None and identity.uuid != uuid:
        identity, faults[layout.COLLECTION] = None, foreign
    if current is not None and current.uuid != uuid:
        current, faults[layout.CURRENT] = None, foreign
    if checksums is not None and checksums.uuid != uuid:
        checksums, faults[layout.CHECKSUMS] = None, foreign
    return Evidence(uuid, identity, current, checksums, faults)


def catalog_damage(root: Path, evidence: Evidence) -> str | None:
    """Return what is wrong with the catalog as a whole, or None. Raises FormatVersionError for a later version."""
    path = root / layout.CATALOG
    if not os.path.lexists(path):
        return "it is missing"
    expected = evidence.recorded(layout.CATALOG)
    try:
        with connect_file(root) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()
            size = connection.execute(_SIZE).fetchone()[0]
            fault = find_any_fault(connection)
        if verdict != ("ok",):
            return f"SQLite's integrity check says: {verdict[0]}"
        if fault is not None:
            return fault
        if expected is not None and catalog_checksums.digest_catalog(root) != expected:
            return "it differs from what the last writer saved"
        if is_folded(path) and path.stat().st_size > size:
            return "it has data after its last page"
        if catalog_backups.uuid_of(path) != evidence.uuid:
            return "it belongs to another collection"
        check_version(path)
    except CorruptCollectionError as error:
        return str(error)
    except MemoryError:  # SQLite needs more than it may have for a wrong length in the index of words.
        return "a check of it asks for too much memory"
    return None


def catalog_lag(root: Path, evidence: Evidence) -> str | None:
    """Return how far a sound catalog is behind ``current.json``, or None.

    Commits write the catalog first, so one that is behind has lost some (for example with its write-ahead log).
    """
    generation = catalog_backups.generation_of(root / layout.CATALOG)
    if evidence.current is None or evidence.current.generation <= generation:
        return None
    return f"it is at generation {generation}, but {layout.CURRENT} at {evidence.current.generation}"


def backup_fault(root: Path, name: str, evidence: Evidence) -> str | None:
    """Return what is wrong with a backup, or None. A backup that was never made is no fault."""
    expected, path = evidence.recorded(name), root / name
    if not os.path.lexists(path):
        return None if expected is None else "it is missing"
    if not is_file(root, name):
        return "it is not a regular file"
    if expected is not None and digest(root, name, expected.size) != expected:
        return "its checksum differs"
    return None if catalog_backups.is_usable(path, evidence.uuid) else "it is not a copy of this catalog"


def _try_read(read: Callable[[Path], T], root: Path, name: str, faults: dict[str, str]) -> T | None:
    try:
        return read(root)
    except (CollectionNotFoundError, CorruptCollectionError) as error:
        faults[name] = str(error)
        return None
