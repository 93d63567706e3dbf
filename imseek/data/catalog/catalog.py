"""The catalog, which holds what shards do not. SQLAlchemy, for writers only (readers use ``reader``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, and_, func, or_, select, update

from imseek.data.catalog import schema as t
from imseek.data.catalog.places import MEMBER_SEPARATOR
from imseek.data.catalog.schema import FOREVER
from imseek.data.collection_records import Current, Shard
from imseek.data.user_files.file_stat import FileStat
from imseek.types.spaces import SpaceInfo

LIVE = "live"
#: Images whose file cannot currently be decoded: not searched, but kept with id and tags until the file is readable
#: again, holds another picture, or is gone.
SUSPENDED = "suspended"
#: Images whose file was quarantined and can be restored: not searched, but kept with id, tags and place.
QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """A live place of a source.

    ``stored`` is False for an image whose vector was lost, ``quarantined`` True for one whose file was quarantined and
    is therefore expected to be absent. ``sidecar_stat`` identifies the state of the files beside it when they were last
    read.
    """

    image_id: int
    content_hash: bytes
    stat: FileStat
    stored: bool
    quarantined: bool = False
    sidecar_stat: str = ""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """Why a file could not be indexed, and its stat at that time."""

    reason: str
    stat: FileStat


@dataclass(frozen=True, slots=True)
class Source:
    source_id: int
    kind: str
    root: bytes
    relative: bool
    options: str = "{}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def live(table: Any, generation: int = FOREVER - 1) -> Any:
    """SQL condition: the row is live at ``generation`` (by default, now)."""
    return and_(table.c.born <= generation, table.c.died > generation)


class Catalog(ABC):
    """The writer's connection to the catalog, with the queries of an indexing run.

    Its subclasses differ by where the catalog is. Some methods do nothing in one of them.
    """

    root: Path
    engine: Engine
    #: What to do for a writer that another one has taken over from.
    takeover_hint: str

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """Run one atomic change, durable when the ``with`` ends. Does not nest.

        Raises CorruptCollectionError, LockedError (another program), ReadOnlyError, StorageError (full disk).
        """

    @abstractmethod
    def read_current(self) -> Current | None:
        """Read the record of the newest generation outside the catalog; None where there is none, or it is damaged."""

    @abstractmethod
    def record_current(self, connection: Connection, current: Current) -> None:
        """Record a new generation for readers, in its transaction."""

    @abstractmethod
    def publish_current(self, current: Current) -> None:
        """Record a new generation for readers, after its transaction."""

    @abstractmethod
    def renew_backup(self, name: str) -> None:
        """Replace a backup by a copy of the catalog."""

    @abstractmethod
    def end_run(self, *, has_changed: bool) -> None:
        """Back up the catalog if it has changed since, and record its checksum."""

    @abstractmethod
    def scrub(self) -> tuple[str, ...]:
        """Rewrite the catalog, so that deleted data remains in none of its pages. Returns notes for the user."""

    def sources(self) -> list[Source]:
        with self.transaction() as connection:
            rows = connection.execute(select(t.sources).where(live(t.sources)).order_by(t.sources.c.source_id))
            return [Source(r.source_id, r.kind, r.root, bool(r.relative), r.options) for r in rows]

    def known_places(
        self, source_id: int, container: bytes | None = None, *, below: bytes = b""
    ) -> dict[bytes, KnownPlace]:
        """Live places of a source by relative path, optionally only in one container or at and ``below`` a path."""
        query = (
            select(
                t.places.c.path,
                t.places.c.image_id,
                t.images.c.content_hash,
                t.images.c.shard_id,
                t.images.c.state,
                t.places.c.sidecar_stat,
                t.places.c.size,
                t.places.c.mtime_ns,
                t.places.c.ctime_ns,
                t.places.c.inode,
                t.places.c.checked_ns,
            )
            .join(t.images, t.images.c.image_id == t.places.c.image_id)
            .where(_within(t.places, source_id, container, below), live(t.places), live(t.images))
        )
        with self.transaction() as connection:
            return {
                path: KnownPlace(
                    image_id, content_hash, FileStat(*stat), shard_id is not None, state == QUARANTINED, beside
                )
                for path, image_id, content_hash, shard_id, state, beside, *stat in connection.execute(query)
            }

    def known_failures(
        self, source_id: int, container: bytes | None = None, *, below: bytes = b""
    ) -> dict[bytes, KnownFailure]:
        f = t.failures.c
        query = select(f.path, f.reason, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.checked_ns).where(
            _within(t.failures, source_id, container, below)
        )
        with self.transaction() as connection:
            return {path: KnownFailure(reason, FileStat(*stat)) for path, reason, *stat in connection.execute(query)}

    def known_containers(self, source_id: int) -> dict[bytes, FileStat]:
        """Archives and tables of a source that were opened, by path.

        The value is the stat of a container that was read to the end, else ``UNKNOWN_STAT``.
        """
        c = t.containers.c
        query = select(c.path, c.size, c.mtime_ns, c.ctime_ns, c.inode, c.checked_ns)
        with self.transaction() as connection:
            rows = connection.execute(query.where(c.source_id == source_id))
            return {path: FileStat(*stat) for path, *stat in rows}

    def count_within(self, source_id: int, container: bytes) -> tuple[int, int, int]:
        """Count a container's live places, those among them whose vector was lost, and its failures."""
        p = t.places.c
        counted = (
            select(func.count(), func.count().filter(t.images.c.shard_id.is_(None)))
            .select_from(t.places.join(t.images, t.images.c.image_id == p.image_id))
            .where(_within(t.places, source_id, container), live(t.places))
        )
        failed = select(func.count()).where(_within(t.failures, source_id, container))
        with self.transaction() as connection:
            images, lost = connection.execute(counted).one()
            return int(images), int(lost), int(connection.execute(failed).scalar_one())

    def ids_within(self, source_id: int, container: bytes) -> list[int]:
        """Ids of the images in a container."""
        query = select(t.places.c.image_id).where(_within(t.places, source_id, container), live(t.places))
        with self.transaction() as connection:
            return list(connection.execute(query).scalars())

    def missing_images(self, *, quarantined: bool = False) -> list[tuple[int, bytes, bool, int | None]]:
        """Live images without a live place: id, content hash, whether the vector is stored, last source.

        Interrupted runs and repairs leave them. Quarantined images whose place another file has taken since are
        included only if ``quarantined``.
        """
        p, i = t.places.c, t.images.c
        placed = select(p.image_id).where(live(t.places))
        last = select(p.source_id).where(p.image_id == i.image_id).order_by(p.place_id.desc()).limit(1)
        query = select(i.image_id, i.content_hash, i.shard_id, last.scalar_subquery()).where(
            live(t.images), i.image_id.not_in(placed)
        )
        if not quarantined:
            query = query.where(i.state != QUARANTINED)
        with self.transaction() as connection:
            return [(r[0], r[1], r[2] is not None, r[3]) for r in connection.execute(query)]


def _within(table: Any, source_id: int, container: bytes | None, below: bytes = b"") -> Any:
    """SQL condition: the row belongs to a source and, if given, to a container or is at or below a path."""
    mine, path = table.c.source_id == source_id, table.c.path
    if container is not None:
        return and_(mine, _inside_container(path, container))
    if not below:
        return mine
    # `0` is the byte after `/`, so this is a range of the index; the rest filters within it.
    among = and_(path >= below, path < below + b"0")
    return and_(mine, among, or_(path == below, path > below + b"/", _inside_container(path, below)))


def _inside_container(path: Any, container: bytes) -> Any:
    return and_(path > container + MEMBER_SEPARATOR, path < container + b"\x01")


def get_meta(connection: Connection, name: str) -> str:
    return str(connection.execute(select(t.meta.c.value).where(t.meta.c.name == name)).scalar_one())


def find_meta(connection: Connection, name: str) -> str | None:
    """As :func:`get_meta`; None where nothing is recorded by that name."""
    found: str | None = connection.execute(select(t.meta.c.value).where(t.meta.c.name == name)).scalar()
    return found


def set_meta(connection: Connection, name: str, value: object) -> None:
    changed = connection.execute(update(t.meta).where(t.meta.c.name == name).values(value=str(value)))
    if not changed.rowcount:
        connection.execute(t.meta.insert().values(name=name, value=str(value)))


def searchable_ids(connection: Connection, shard_id: int) -> npt.NDArray[np.int64]:
    """Ids of a shard's searchable rows: live images stored in it that are not suspended or quarantined."""
    i = t.images.c
    query = select(i.image_id).where(i.shard_id == shard_id, live(t.images), i.state == LIVE)
    return np.array(connection.execute(query).scalars().all(), np.int64)


def modalities(connection: Connection) -> dict[int, str]:
    """Modality of each space by its id, including past and unfinished spaces."""
    s = t.spaces.c
    return {row.space_id: row.modality for row in connection.execute(select(s.space_id, s.modality))}


def current_of(connection: Connection) -> Current:
    """Derive ``current.json`` from the catalog."""
    space_rows = connection.execute(
        select(t.spaces)
        .where(live(t.spaces), t.spaces.c.is_current == 1)
        .order_by(t.spaces.c.modality, t.spaces.c.position, t.spaces.c.space_id)
    ).all()
    spaces = tuple(
        SpaceInfo(s.space_id, s.encoder, s.fingerprint, s.dim, s.modality, s.quality, s.note) for s in space_rows
    )
    by_shard: dict[int, dict[str, Any]] = {}
    for file in connection.execute(
        select(t.files).where(live(t.files), t.files.c.shard_id.is_not(None)).order_by(t.files.c.path)
    ):
        parts = by_shard.setdefault(file.shard_id, {"spaces": [], "columns": {}})
        if file.kind == "vectors":
            parts["spaces"].append(file.space_id)
        elif file.kind == "dead":
            parts.update(dead=file.path, dead_rows=file.row_count)
        elif file.kind == "column":
            parts["columns"][file.name] = file.path
    shards = []
    for row in connection.execute(select(t.shards).where(live(t.shards)).order_by(t.shards.c.shard_id)):
        parts = by_shard.get(row.shard_id, {"spaces": [], "columns": {}})
        shards.append(Shard(row.shard_id, row.row_count, **{**parts, "spaces": tuple(sorted(parts["spaces"]))}))
    snapshots = {str(s.space_id): s.folder for s in connection.execute(select(t.snapshots).where(live(t.snapshots)))}
    return Current(
        uuid=get_meta(connection, "uuid"),
        generation=int(get_meta(connection, "generation")),
        committed=get_meta(connection, "committed"),
        images=sum(s.rows - s.dead_rows for s in shards),
        spaces=spaces,
        shards=tuple(shards),
        snapshots=snapshots,
        next_image_id=int(get_meta(connection, "next_image_id")),
    )
