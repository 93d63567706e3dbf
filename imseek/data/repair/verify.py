"""Compare every file of a collection with its record in the catalog. Reads all bytes, changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from imseek.data import layout
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_writer import current_of, get_meta
from imseek.data.catalog.running_writer import locked_error
from imseek.data.catalog.sql import Connection
from imseek.data.collection_records import FOREVER, read_identity
from imseek.data.files import durable_files
from imseek.data.files.collection_files import (
    A_FOLDER,
    HARD_LINK,
    TOO_DEEP,
    digest,
    find_files,
    find_strange_at_top,
)
from imseek.data.repair.content_consistency import find_content_problems
from imseek.data.repair.recovery_evidence import (
    backup_fault,
    catalog_damage,
    catalog_lag,
    gather_evidence,
)
from imseek.data.writing.writer import find_listed_files
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, UnsafePathError
from imseek.types.maintenance_reports import Problem, VerifyReport

#: Kind of problem for entries that are neither files nor folders made by imseek.
STRANGE: Final = "strange"


@dataclass(slots=True)
class _Findings:
    """How much has been read, and the paths of damaged or missing files."""

    files: int = 0
    bytes: int = 0
    bad: set[str] = field(default_factory=set)


def verify(root: Path) -> VerifyReport:
    """Verify the collection at ``root``.

    Raises CollectionNotFoundError for no collection, FormatVersionError for a later format, and LockedError while a
    writer is active: its unfinished files would look like damage.
    """
    while True:
        backend = backend_of(root)
        stamp = backend.read_run_stamp()
        if backend.is_locked():
            raise locked_error(root, backend.connect())
        report = examine(root)
        if report.ok or (not backend.is_locked() and backend.read_run_stamp() == stamp):
            return report


def examine(root: Path) -> VerifyReport:
    """Verify as :func:`verify` does, for callers that know that nobody else writes."""
    findings = _Findings()
    problems = list(_problems(root, findings))
    return VerifyReport(tuple(problems), findings.files, findings.bytes)


def _problems(root: Path, findings: _Findings) -> Iterator[Problem]:
    strange = find_strange(root)
    for path, kind in strange.items():
        message = f"it is {kind}" if kind == HARD_LINK else f"it is {kind}: imseek did not create it"
        yield Problem(STRANGE, path, message, repairable=kind not in (A_FOLDER, TOO_DEEP))
    if strange:
        return
    if not backend_of(root).is_file:
        yield from _problems_elsewhere(root, findings)
        return
    evidence = gather_evidence(root)
    for kind, name in (("identity", layout.COLLECTION), ("checksums", layout.CHECKSUMS)):
        if name in evidence.faults:
            yield Problem(kind, name, evidence.faults[name], repairable=True)
    for name in layout.BACKUPS:
        if (fault := backup_fault(root, name, evidence)) is not None:
            yield Problem("backup", name, fault, repairable=True)
    if (fault := catalog_damage(root, evidence) or catalog_lag(root, evidence)) is not None:
        yield Problem("catalog", layout.CATALOG, fault, repairable=True)
        return
    with backend_of(root).freeze() as connection:
        yield from _check_files(root, connection, findings)
        current = current_of(connection)
        if layout.CURRENT in evidence.faults:
            yield Problem("current", layout.CURRENT, evidence.faults[layout.CURRENT], repairable=True)
        elif evidence.current is not None and evidence.current != current:
            message = f"says generation {evidence.current.generation}, the catalog {current.generation}"
            yield Problem("current", layout.CURRENT, message, repairable=True)
        yield from find_content_problems(root, connection, current, findings.bad)


def _problems_elsewhere(root: Path, findings: _Findings) -> Iterator[Problem]:
    """Find problems as :func:`_problems` does, where the catalog is on a server, which vouches for its pages."""
    from imseek.data.catalog.postgres.address import read_address
    from imseek.data.catalog.postgres.catalog_writer import find_schema_fault

    uuid = read_address(root).uuid
    try:
        identity_uuid = read_identity(root).uuid
    except (CollectionNotFoundError, CorruptCollectionError) as error:
        yield Problem("identity", layout.COLLECTION, str(error), repairable=True)
    else:
        if identity_uuid != uuid:
            foreign = "one of the two belongs to another collection"
            yield Problem("identity", layout.COLLECTION, f"{foreign}: it, or {layout.ADDRESS}", repairable=False)
    with backend_of(root).freeze() as connection:
        if get_meta(connection, "uuid") != uuid:
            message = "the catalog belongs to another collection"
            yield Problem("catalog", layout.ADDRESS, message, repairable=False)
            return
        if (fault := find_schema_fault(root)) is not None:
            yield Problem("catalog", layout.ADDRESS, f"the catalog is damaged: {fault}", repairable=False)
            return
        yield from _check_files(root, connection, findings)
        yield from find_content_problems(root, connection, current_of(connection), findings.bad)


def find_strange(root: Path) -> dict[str, str]:
    """Return links, pipes and the like among a collection's files, and files in place of folders, by path.

    The value describes each. Raises OSError.
    """
    if not root.is_dir():
        return {}
    return {**find_strange_at_top(root), **find_files(root, *layout.FOLDERS).strange}


def _check_files(root: Path, connection: Connection, findings: _Findings) -> Iterator[Problem]:
    """Check that every live file exists with its size and checksum, and that no other file does."""
    paths = set()
    for path, kind, size, sha256, died in connection.execute(
        "SELECT path, kind, size, sha256, died FROM files ORDER BY path"
    ):
        paths.add(path)
        if died != FOREVER:
            continue
        try:
            actual = digest(root, path, size)
        except (CorruptCollectionError, UnsafePathError) as error:
            findings.bad.add(path)
            yield Problem(kind, path, str(error), repairable=True)
            continue
        except OSError as error:
            findings.bad.add(path)
            # Missing permission or a failing disk says nothing about the content of the file.
            is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
            message = f"cannot be read: {error.strerror}"
            yield Problem(kind if is_missing else "unreadable", path, message, repairable=is_missing)
            continue
        findings.files += 1
        findings.bytes += actual.size
        if actual != durable_files.FileDigest(size, sha256):
            findings.bad.add(path)
            message = f"{actual.size} bytes instead of {size}" if actual.size != size else "its checksum differs"
            yield Problem(kind, path, message, repairable=True)
    for path in find_listed_files(root).files:
        if path not in paths:
            yield Problem("orphan", path, "not part of the collection", repairable=True)
