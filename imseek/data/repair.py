"""Mending a collection. What shards, columns, backups and the catalog allow is restored; the rest is named.

Order: the catalog (itself, else the newest backup, else from the shards), shards it does not know, damaged
files, then the two JSON files. Images whose vector is lost keep id, place and tags, and are encoded again by
the next ``index``; images whose place is lost are recognised by their content when it scans their folder.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert, select, update

from imseek.data import backup, durable, files, layout, shards
from imseek.data import schema as t
from imseek.data.catalog import LIVE, UNKNOWN_STAT, Catalog, get_meta, live, now, set_meta
from imseek.data.commit import stat_values
from imseek.data.create import add_space, begin
from imseek.data.current import Current, Identity, read_current, read_identity, write_identity
from imseek.data.lock import WriterLock
from imseek.data.schema import FOREVER
from imseek.data.verify import catalog_fault, verify
from imseek.data.writer import Writer, listed_folder_files
from imseek.errors import CorruptCollectionError, StorageError
from imseek.types import Problem, RepairReport


class _Ledger:
    """What has been restored, and what is lost, a line each."""

    def __init__(self) -> None:
        self.restored: list[str] = []
        self.lost: list[str] = []


def repair(root: Path) -> RepairReport:
    """Raises CollectionNotFoundError, LockedError, ReadOnlyError, and CorruptCollectionError where even the
    encoder of the vectors cannot be told."""
    before = verify(root)
    ledger = _Ledger()
    if before.ok:
        return RepairReport((), (), before)
    with _locked(root):
        _mend_catalog(root, ledger)
    with Writer(root, "collection repair") as writer:
        _adopt(writer, ledger)
        # Verified again: a restored catalog sees other damages than the one before.
        for problem in verify(root).problems:
            _mend(writer, problem, ledger)
        if any(p.kind == "current" for p in before.problems):
            ledger.restored.append(f"{layout.CURRENT} from the catalog")
    return RepairReport(tuple(ledger.restored), tuple(ledger.lost), verify(root))


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    lock = WriterLock(root)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


# -- the catalog and the identity ----------------------------------------------------------------------


def _mend_catalog(root: Path, ledger: _Ledger) -> None:
    staging = root / layout.STAGING
    durable.make_folder(staging)
    identity = _identity(root)
    fault = catalog_fault(root / layout.CATALOG, identity)
    if fault is not None:
        current = _current(root)
        _set_aside(root)
        source = _newest_backup(root, identity)
        if source is not None:
            staged = staging / layout.CATALOG
            shutil.copyfile(source, staged)
            durable.sync_file(staged)
            durable.publish([(staged, root / layout.CATALOG)])
            ledger.restored.append(f"{layout.CATALOG} from {source.name} ({fault})")
            ledger.lost.append(f"places and tags recorded after {source.name} was made, if any")
        else:
            _rebuild_catalog(root, identity, current)
            ledger.restored.append(f"{layout.CATALOG} from the shards ({fault})")
            ledger.lost.append(
                "sources, places, tags and judgements: `imseek index FOLDER` finds the places again"
            )
    if identity is None:
        write_identity(root, _identity_of(root), staging)
        ledger.restored.append(f"{layout.COLLECTION} from the catalog")


def _identity(root: Path) -> Identity | None:
    try:
        return read_identity(root)
    except CorruptCollectionError:
        return None


def _current(root: Path) -> Current | None:
    try:
        return read_current(root)
    except StorageError:
        return None


def _identity_of(root: Path) -> Identity:
    catalog = Catalog(root)
    try:
        with catalog.transaction() as connection:
            uuid_, created, places = (get_meta(connection, name) for name in ("uuid", "created", "places"))
    finally:
        catalog.close()
    return Identity(uuid=uuid_, created=created, places=places)


def _set_aside(root: Path) -> None:
    """Keep a damaged catalog beside, in case that somebody can read it."""
    suffix = time.strftime("%Y%m%dT%H%M%S")
    for name in (layout.CATALOG, f"{layout.CATALOG}-wal"):
        if (root / name).exists():
            (root / name).rename(root / f"{name}.damaged.{suffix}")
    durable.remove_files([root / f"{layout.CATALOG}-shm"])
    durable.sync_folder(root)


def _newest_backup(root: Path, identity: Identity | None) -> Path | None:
    uuid_ = identity.uuid if identity else None
    usable = [root / name for name in layout.BACKUPS if backup.usable(root / name, uuid_)]
    return max(usable, key=_generation, default=None)


def _generation(path: Path) -> int:
    with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0])


def _rebuild_catalog(root: Path, identity: Identity | None, current: Current | None) -> None:
    """An empty catalog; the shards are adopted afterwards. ``current.json`` tells of the encoder."""
    if current is None:
        raise CorruptCollectionError(
            f"neither the catalog of {root}, nor a backup, nor {layout.CURRENT} can be read: "
            "which encoder made its vectors is lost",
            hint="index the pictures into a new collection",
        )
    if identity is None:
        identity = Identity(uuid=str(uuid.uuid4()), created=now())
    catalog = Catalog(root)
    try:
        with catalog.transaction() as connection:
            begin(connection, identity, generation=current.generation)
            for space in current.spaces:
                add_space(
                    connection,
                    space.space_id,
                    {
                        "encoder": space.encoder,
                        "revision": None,
                        "fingerprint": space.fingerprint,
                        "dim": space.dim,
                        "quality": space.quality,
                        "note": space.note,
                        "logit_scale": None,
                        "preprocessing": {},
                    },
                )
    finally:
        catalog.close()


# -- shards that the catalog does not know -------------------------------------------------------------


def _adopt(writer: Writer, ledger: _Ledger) -> None:
    """Take up shards that are whole but not in the catalog (it was restored from a backup)."""
    with writer.catalog.transaction() as connection:
        known = set(connection.execute(select(t.shards.c.shard_id)).scalars())
        spaces = list(connection.execute(select(t.spaces.c.space_id, t.spaces.c.dim).where(live(t.spaces))))
    found = (layout.shard_of(path) for path in listed_folder_files(writer.root))
    adopted = 0
    for shard_id in sorted({s for s in found if s is not None and s not in known}):
        adopted += _adopt_shard(writer, shard_id, [(s.space_id, s.dim) for s in spaces])
    if adopted:
        ledger.restored.append(
            f"{adopted} images from shards that the catalog did not know; their places are lost"
        )


def _adopt_shard(writer: Writer, shard_id: int, spaces: list[tuple[int, int]]) -> int:
    """Returns how many images came in with the shard: those whose id nobody has."""
    root = writer.root
    try:
        table = shards.read_table(root / layout.metadata(shard_id), ["image_id", "content_hash"])
        ids = np.asarray(table.column("image_id").to_numpy(), np.int64)
        held = {s: root / layout.vectors(s, shard_id) for s, _ in spaces}
        dims = dict(spaces)
        held = {s: p for s, p in held.items() if p.exists() and np.load(p, "r").shape == (len(ids), dims[s])}
    except (OSError, ValueError):
        return 0
    if not held or not (np.diff(ids) > 0).all():
        return 0
    staged = [_restage(writer, layout.metadata(shard_id), "metadata", len(ids))]
    staged.append(files.stage(writer, layout.ids(shard_id), "ids", ids))
    for space_id in held:
        staged.append(_restage(writer, layout.vectors(space_id, shard_id), "vectors", len(ids), space_id))
    added: list[int] = []

    def change(connection: Connection, generation: int) -> None:
        taken = set(connection.execute(select(t.images.c.image_id)).scalars())
        rows = [
            (image_id, content_hash)
            for image_id, content_hash in zip(
                ids.tolist(), table.column("content_hash").to_pylist(), strict=True
            )
            if image_id not in taken
        ]
        files.add_shard(writer, connection, generation, shard_id, len(ids), staged)
        if rows:
            connection.execute(
                insert(t.images),
                [
                    {
                        "image_id": image_id,
                        "content_hash": content_hash,
                        "shard_id": shard_id,
                        "state": LIVE,
                        "born": generation,
                        "died": FOREVER,
                    }
                    for image_id, content_hash in rows
                ],
            )
        added.extend(image_id for image_id, _ in rows)
        for name, least in (("next_image_id", int(ids[-1]) + 1), ("next_shard_id", shard_id + 1)):
            set_meta(connection, name, max(int(get_meta(connection, name)), least))
        files.write_dead(writer, connection, generation, shard_id)

    writer.apply(change)
    writer.skip_to(int(ids[-1]) + 1, shard_id + 1)
    return len(added)


def _restage(
    writer: Writer, path: str, kind: str, rows: int, space_id: int | None = None
) -> files.StagedFile:
    """A file that is in its place already, as one to be published there."""
    target = writer.root / path
    return files.StagedFile(target, path, kind, rows, durable.digest_of(target), space_id=space_id)


# -- single files --------------------------------------------------------------------------------------


def _mend(writer: Writer, problem: Problem, ledger: _Ledger) -> None:
    shard_id = layout.shard_of(problem.file)
    if problem.kind == "orphan":
        durable.remove_files([writer.root / problem.file])
        ledger.restored.append(f"{problem.file} removed: it was no part of the collection")
    elif problem.kind == "backup":
        backup.back_up(writer.root, writer.staging)
        ledger.restored.append(f"{problem.file} from the catalog")
    elif shard_id is None or not _lives(writer, shard_id):
        return
    elif problem.kind == "dead":
        writer.apply(
            lambda connection, generation: files.write_dead(writer, connection, generation, shard_id)
        )
        ledger.restored.append(f"the dead rows of shard {shard_id} from the catalog")
    elif problem.kind == "ids" and _rewrite_ids(writer, shard_id):
        ledger.restored.append(f"{problem.file} from the metadata")
    elif problem.kind == "column":
        condition = t.files.c.path == problem.file
        writer.apply(lambda connection, generation: files.retire(connection, generation, condition))
        ledger.lost.append(f"{problem.file}: derived values, to be computed again")
    elif problem.kind in ("metadata", "vectors", "ids"):
        count = _give_up(writer, shard_id)
        ledger.lost.append(
            f"{problem.file}: vectors and metadata of {count} images; `imseek index` makes them again under their ids"
        )


def _lives(writer: Writer, shard_id: int) -> bool:
    return any(shard.shard_id == shard_id for shard in writer.current().shards)


def _rewrite_ids(writer: Writer, shard_id: int) -> bool:
    """Make the ids file again from the metadata, if that is intact."""
    path = layout.metadata(shard_id)
    with writer.catalog.transaction() as connection:
        recorded = connection.execute(select(t.files.c.sha256).where(t.files.c.path == path)).scalar()
    try:
        if durable.digest_of(writer.root / path).sha256 != recorded:
            return False
    except OSError:
        return False
    ids = shards.read_table(writer.root / path, ["image_id"]).column("image_id").to_numpy()
    staged = files.stage(writer, layout.ids(shard_id), "ids", np.asarray(ids, np.int64))
    durable.publish([(staged.staged, writer.root / staged.path)])
    return True


def _give_up(writer: Writer, shard_id: int) -> int:
    """Retire a shard with a damaged file: its images live on without a vector, to be encoded again."""
    lost: list[int] = []

    def change(connection: Connection, generation: int) -> None:
        condition = (t.images.c.shard_id == shard_id) & live(t.images)
        lost.extend(connection.execute(select(t.images.c.image_id).where(condition)).scalars())
        connection.execute(update(t.images).where(condition).values(shard_id=None))
        for chunk in files.chunks(lost):
            connection.execute(
                update(t.places)
                .where(t.places.c.image_id.in_(chunk), live(t.places))
                .values(stat_values(UNKNOWN_STAT))
            )
        files.retire_shards(connection, generation, [shard_id])

    writer.apply(change)
    return len(lost)
