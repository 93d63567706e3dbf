"""Comparing every file of a collection with what is recorded of it. Reads all bytes, changes nothing."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import StaticPool

from imseek.data import durable, files, layout, shards
from imseek.data import schema as t
from imseek.data.catalog import current_of, get_meta, live
from imseek.data.catalog_file import connect_file
from imseek.data.collection_files import A_FOLDER, check_top, digest, find_files, load_array
from imseek.data.current import Current, read_identity
from imseek.data.evidence import backup_fault, catalog_damage, catalog_lag, gather
from imseek.data.lock import is_locked, locked_error
from imseek.data.migrations import migrate
from imseek.data.runs import read_runs
from imseek.data.writer import listed_folders
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, UnsafePathError
from imseek.types import Problem, VerifyReport

#: Kind of the problem that something is neither a file nor a folder of imseek's.
STRANGE: Final = "strange"


@dataclass(slots=True)
class _Seen:
    """What has been read, and the paths of what is damaged or missing."""

    files: int = 0
    bytes: int = 0
    bad: set[str] = field(default_factory=set)


def verify(root: Path) -> VerifyReport:
    """Raises CollectionNotFoundError where there is no collection, FormatVersionError for a later format, and
    LockedError while a writer is at work: its unfinished files would look like damage."""
    while True:
        before = _stamp(root)
        if is_locked(root):
            raise locked_error(root)
        report = examine(root)
        if report.ok or (not is_locked(root) and _stamp(root) == before):
            return report


def examine(root: Path) -> VerifyReport:
    """As :func:`verify`, for who knows that nobody else writes."""
    seen = _Seen()
    problems = list(_problems(root, seen))
    return VerifyReport(tuple(problems), seen.files, seen.bytes)


def _stamp(root: Path) -> tuple[int, ...] | None:
    """Differs before and after any run: each writes this file anew, and has a number."""
    if layout.is_elsewhere(root):
        return tuple(run.run_id for run in read_runs(root, limit=1))
    try:
        found = (root / layout.CHECKSUMS).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _problems(root: Path, seen: _Seen) -> Iterator[Problem]:
    strange = find_strange(root)
    for path, kind in strange.items():
        yield Problem(STRANGE, path, f"it is {kind}: imseek did not make that", repairable=kind != A_FOLDER)
    if strange:
        return
    if layout.is_elsewhere(root):
        yield from _problems_elsewhere(root, seen)
        return
    evidence = gather(root)
    for kind, name in (("identity", layout.COLLECTION), ("checksums", layout.CHECKSUMS)):
        if name in evidence.faults:
            yield Problem(kind, name, evidence.faults[name], repairable=True)
    for name in layout.BACKUPS:
        if (fault := backup_fault(root, name, evidence)) is not None:
            yield Problem("backup", name, fault, repairable=True)
    if (fault := catalog_damage(root, evidence) or catalog_lag(root, evidence)) is not None:
        yield Problem("catalog", layout.CATALOG, fault, repairable=True)
        return
    with snapshot(root) as connection:
        yield from _check_files(root, connection, seen)
        current = current_of(connection)
        if layout.CURRENT in evidence.faults:
            yield Problem("current", layout.CURRENT, evidence.faults[layout.CURRENT], repairable=True)
        elif evidence.current is not None and evidence.current != current:
            message = f"says generation {evidence.current.generation}, the catalog {current.generation}"
            yield Problem("current", layout.CURRENT, message, repairable=True)
        yield from _check_contents(root, connection, current, seen)


def _problems_elsewhere(root: Path, seen: _Seen) -> Iterator[Problem]:
    """As :func:`_problems`, where a server has the catalog and vouches for its pages."""
    from imseek.data.postgres.address import read_address

    uuid = read_address(root).uuid
    try:
        stated = read_identity(root).uuid
    except (CollectionNotFoundError, CorruptCollectionError) as error:
        yield Problem("identity", layout.COLLECTION, str(error), repairable=True)
    else:
        if stated != uuid:
            foreign = "one of the two belongs to another collection"
            yield Problem(
                "identity", layout.COLLECTION, f"{foreign}: it, or {layout.ADDRESS}", repairable=False
            )
    with snapshot(root) as connection:
        if get_meta(connection, "uuid") != uuid:
            message = "the catalog belongs to another collection"
            yield Problem("catalog", layout.ADDRESS, message, repairable=False)
            return
        yield from _check_files(root, connection, seen)
        yield from _check_contents(root, connection, current_of(connection), seen)


def find_strange(root: Path) -> dict[str, str]:
    """Links, pipes and the like among the files of a collection, and files in place of folders, by their path.

    The value says what each is. Raises OSError.
    """
    if not root.is_dir():
        return {}
    return {**check_top(root), **find_files(root, *layout.FOLDERS).strange}


@contextmanager
def snapshot(root: Path) -> Iterator[Connection]:
    """A connection to the catalog as of one moment, and to a copy of it in memory where it is a file: no writer waits,
    and nothing can be changed."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres.catalog import frozen

        with frozen(root) as connection:
            yield connection
        return
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as copy:
        with connect_file(root) as source:
            source.backup(copy)
        engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
        migrate(engine)  # The copy: an older catalog is judged as a writer would find it.
        with engine.connect() as connection:
            yield connection


def _check_files(root: Path, connection: Connection, seen: _Seen) -> Iterator[Problem]:
    """Every live file is there with its size and checksum, and nothing else is."""
    listed = set()
    for file in connection.execute(select(t.files).order_by(t.files.c.path)):
        listed.add(file.path)
        if file.died != t.FOREVER:
            continue
        try:
            found = digest(root, file.path)
        except (CorruptCollectionError, UnsafePathError) as error:
            seen.bad.add(file.path)
            yield Problem(file.kind, file.path, str(error), repairable=True)
            continue
        except OSError as error:
            seen.bad.add(file.path)
            # No right to read, or a disk that fails, says nothing about what is in the file.
            gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
            message = f"cannot be read: {error.strerror}"
            yield Problem(file.kind if gone else "unreadable", file.path, message, repairable=gone)
            continue
        seen.files += 1
        seen.bytes += found.size
        if found != durable.Written(file.size, file.sha256):
            seen.bad.add(file.path)
            differs = found.size != file.size
            message = f"{found.size} bytes instead of {file.size}" if differs else "its checksum differs"
            yield Problem(file.kind, file.path, message, repairable=True)
    for path in listed_folders(root).files:
        if path not in listed:
            yield Problem("orphan", path, "no part of the collection", repairable=True)


def _check_contents(root: Path, connection: Connection, current: Current, seen: _Seen) -> Iterator[Problem]:
    """Shards agree with the catalog about who lives in which row. Damaged files are not opened."""
    i = t.images.c
    stray = select(i.image_id).where(live(t.images), i.shard_id.is_not(None))
    stray = stray.where(i.shard_id.not_in(select(t.shards.c.shard_id).where(live(t.shards))))
    if count := len(connection.execute(stray).all()):
        message = f"{count} images lie in shards that are gone"
        yield Problem("images", layout.CATALOG, message, repairable=True)
    for shard in current.shards:
        shard_id = shard.shard_id
        for space in current.spaces:
            if space.space_id not in shard.spaces:
                path = layout.vectors(space.space_id, shard_id, space.modality)
                yield Problem("vectors", path, f"shard {shard_id} has no vectors of it", repairable=True)
        name, table = layout.ids(shard_id), layout.metadata(shard_id)
        if {name, table} & seen.bad:
            continue
        try:
            ids = load_array(root, name, mapped=False)
        except ValueError as error:
            yield Problem("ids", name, str(error), repairable=True)
            continue
        try:
            stored = shards.load_table(root, table, ["image_id"]).column("image_id").to_numpy()
        except (OSError, ValueError, KeyError) as error:
            yield Problem("metadata", table, str(error), repairable=True)
            continue
        if stored.tolist() != ids.tolist():
            yield Problem("ids", name, "differs from the ids in the metadata", repairable=True)
            continue
        living = connection.execute(
            select(i.image_id).where(i.shard_id == shard_id, live(t.images))
        ).scalars()
        if lost := set(living) - set(ids.tolist()):
            message = f"{len(lost)} images that the catalog has in it are not"
            yield Problem("metadata", table, message, repairable=True)
        if shard.dead not in seen.bad:
            try:
                dead = load_array(root, shard.dead, mapped=False).tolist() if shard.dead else []
            except ValueError:
                dead = None
            if files.dead_rows(connection, shard_id, ids).tolist() != dead:
                yield Problem("dead", shard.dead or name, "the catalog has other dead rows", repairable=True)
