"""Comparing every file of a collection with what is recorded of it. Reads all bytes, changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import StaticPool

from imseek.data import backup, durable, files, layout, shards
from imseek.data import schema as t
from imseek.data.catalog import current_of, live
from imseek.data.current import Current, Identity, read_current, read_identity
from imseek.data.migrations import MIGRATIONS
from imseek.data.writer import listed_folder_files
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, FormatVersionError
from imseek.types import Problem, VerifyReport


@dataclass(slots=True)
class _Counts:
    files: int = 0
    bytes: int = 0


def verify(root: Path) -> VerifyReport:
    """Raises CollectionNotFoundError where there is no collection, FormatVersionError for a later format."""
    counts = _Counts()
    problems = list(_problems(root, counts))
    return VerifyReport(tuple(problems), counts.files, counts.bytes)


def _problems(root: Path, counts: _Counts) -> Iterator[Problem]:
    if not any((root / name).exists() for name in (layout.COLLECTION, layout.CATALOG, layout.CURRENT)):
        raise CollectionNotFoundError(f"no collection at {root}")
    identity = None
    try:
        identity = read_identity(root)
    except (CorruptCollectionError, CollectionNotFoundError) as error:
        yield Problem("identity", layout.COLLECTION, str(error), repairable=True)
    if (fault := catalog_fault(root / layout.CATALOG, identity)) is not None:
        yield Problem("catalog", layout.CATALOG, fault, repairable=True)
        return
    for name in layout.BACKUPS:
        path = root / name
        if path.exists() and not backup.usable(path, identity.uuid if identity else None):
            yield Problem("backup", name, "this copy of the catalog is damaged", repairable=True)
    with snapshot(root) as connection:
        yield from _check_files(root, connection, counts)
        current = current_of(connection)
        yield from _check_current(root, current)
        yield from _check_contents(root, connection, current)


def snapshot(root: Path) -> closing[Connection]:
    """A connection to a copy of the catalog in memory: nothing is locked, and nothing can be changed."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with closing(
        sqlite3.connect(f"{(root / layout.CATALOG).absolute().as_uri()}?mode=ro", uri=True)
    ) as source:
        source.backup(copy)
    engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
    return closing(engine.connect())


def catalog_fault(path: Path, identity: Identity | None) -> str | None:
    """What is wrong with a catalog as a whole, or None. Raises FormatVersionError for a later version."""
    if not path.exists():
        return "it is missing"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()
            if found != ("ok",):
                return f"SQLite's integrity check says: {found[0]}"
            uuid = connection.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone()
            version = connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return str(error)
    if identity is not None and uuid != (identity.uuid,):
        return "it belongs to another collection"
    if version > len(MIGRATIONS):
        raise FormatVersionError(f"{path} is at version {version}, of a later imseek", hint="update imseek")
    return None


def _check_files(root: Path, connection: Connection, counts: _Counts) -> Iterator[Problem]:
    """Every live file is there with its size and checksum, and nothing else is."""
    listed = set()
    for file in connection.execute(select(t.files).order_by(t.files.c.path)):
        listed.add(file.path)
        if file.died != t.FOREVER:
            continue
        try:
            found = durable.digest_of(root / file.path)
        except OSError as error:
            yield Problem(file.kind, file.path, f"cannot be read: {error.strerror}", repairable=True)
            continue
        counts.files += 1
        counts.bytes += found.size
        if found.size != file.size:
            yield Problem(file.kind, file.path, f"{found.size} bytes instead of {file.size}", repairable=True)
        elif found.sha256 != file.sha256:
            yield Problem(file.kind, file.path, "its checksum differs", repairable=True)
    for path in listed_folder_files(root):
        if path not in listed:
            yield Problem("orphan", path, "no part of the collection", repairable=True)


def _check_current(root: Path, current: Current) -> Iterator[Problem]:
    try:
        found = read_current(root)
    except (CorruptCollectionError, CollectionNotFoundError) as error:
        yield Problem("current", layout.CURRENT, str(error), repairable=True)
        return
    if found != current:
        message = f"says generation {found.generation}, the catalog {current.generation}"
        yield Problem("current", layout.CURRENT, message, repairable=True)


def _check_contents(root: Path, connection: Connection, current: Current) -> Iterator[Problem]:
    """Shards agree with the catalog about who lives in which row."""
    for shard in current.shards:
        name = layout.ids(shard.shard_id)
        try:
            ids = np.load(root / name, allow_pickle=False)
            stored = shards.read_table(root / layout.metadata(shard.shard_id), ["image_id"])
            dead = np.load(root / shard.dead) if shard.dead else np.empty(0, np.uint32)
        except (OSError, ValueError):
            continue  # Reported by its checksum.
        if stored.column("image_id").to_numpy().tolist() != ids.tolist():
            yield Problem("ids", name, "differs from the ids in the metadata", repairable=True)
        if files.dead_rows(connection, shard.shard_id, ids).tolist() != dead.tolist():
            yield Problem("dead", shard.dead or name, "the catalog has other dead rows", repairable=True)
        living = select(t.images.c.image_id).where(t.images.c.shard_id == shard.shard_id, live(t.images))
        lost = set(connection.execute(living).scalars()) - set(ids.tolist())
        if lost:
            message = f"{len(lost)} images that the catalog has in it are not"
            yield Problem("ids", name, message, repairable=True)
