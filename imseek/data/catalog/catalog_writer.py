"""The abstract writer's connection to the catalog, on SQLite or PostgreSQL; readers use :mod:`imseek.data.reader`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR
from imseek.data.catalog.sql import Connection, column, scalar
from imseek.data.collection_records import FOREVER, Current, Shard
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


class Catalog(ABC):
    """The writer's connection to the catalog, with the queries of an indexing run.

    Its subclasses differ by where the catalog is. Some methods do nothing in one of them.
    """

    root: Path
    #: Advice for a writer that another one has taken over from.
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
        query = "SELECT source_id, kind, root, relative, options FROM sources WHERE died = ? ORDER BY source_id"
        with self.transaction() as connection:
            rows = connection.execute(query, (FOREVER,))
            return [
                Source(source_id, kind, root, bool(relative), options)
                for source_id, kind, root, relative, options in rows
            ]

    def known_places(
        self, source_id: int, container: bytes | None = None, *, below: bytes = b""
    ) -> dict[bytes, KnownPlace]:
        """Live places of a source by relative path, optionally only in one container or at and ``below`` a path."""
        condition, values = _within(source_id, container, below)
        query = (
            "SELECT path, p.image_id, content_hash, shard_id, state, sidecar_stat, "  # noqa: S608
            "size, mtime_ns, ctime_ns, inode, checked_ns "
            "FROM places p JOIN images i ON i.image_id = p.image_id "
            f"WHERE {condition} AND p.died = ? AND i.died = ?"
        )
        with self.transaction() as connection:
            return {
                path: KnownPlace(
                    image_id, content_hash, FileStat(*stat), shard_id is not None, state == QUARANTINED, beside
                )
                for path, image_id, content_hash, shard_id, state, beside, *stat in connection.execute(
                    query, (*values, FOREVER, FOREVER)
                )
            }

    def known_failures(
        self, source_id: int, container: bytes | None = None, *, below: bytes = b""
    ) -> dict[bytes, KnownFailure]:
        condition, values = _within(source_id, container, below)
        query = f"SELECT path, reason, size, mtime_ns, ctime_ns, inode, checked_ns FROM failures WHERE {condition}"  # noqa: S608
        with self.transaction() as connection:
            rows = connection.execute(query, values)
            return {path: KnownFailure(reason, FileStat(*stat)) for path, reason, *stat in rows}

    def known_containers(self, source_id: int) -> dict[bytes, FileStat]:
        """Archives and tables of a source that were opened, by path.

        The value is the stat of a container that was read to the end, else ``UNKNOWN_STAT``.
        """
        query = "SELECT path, size, mtime_ns, ctime_ns, inode, checked_ns FROM containers WHERE source_id = ?"
        with self.transaction() as connection:
            return {path: FileStat(*stat) for path, *stat in connection.execute(query, (source_id,))}

    def count_within(self, source_id: int, container: bytes) -> tuple[int, int, int]:
        """Count a container's live places, those among them whose vector was lost, and its failures."""
        condition, values = _within(source_id, container)
        image_query = (
            "SELECT COUNT(*), COUNT(*) - COUNT(shard_id) FROM places p JOIN images i ON i.image_id = p.image_id "  # noqa: S608
            f"WHERE {condition} AND p.died = ?"
        )
        failure_query = f"SELECT COUNT(*) FROM failures WHERE {condition}"  # noqa: S608
        with self.transaction() as connection:
            images, lost = connection.execute(image_query, (*values, FOREVER)).fetchone()
            return int(images), int(lost), int(scalar(connection, failure_query, values))

    def ids_within(self, source_id: int, container: bytes) -> list[int]:
        """Ids of the images in a container."""
        condition, values = _within(source_id, container)
        with self.transaction() as connection:
            query = f"SELECT image_id FROM places WHERE {condition} AND died = ?"  # noqa: S608
            return column(connection, query, (*values, FOREVER))

    def missing_images(self, *, quarantined: bool = False) -> list[tuple[int, bytes, bool, int | None]]:
        """Live images without a live place: id, content hash, whether the vector is stored, last source.

        Interrupted runs and repairs leave them. Quarantined images whose place another file has taken since are
        included only if ``quarantined``.
        """
        query = (
            "SELECT image_id, content_hash, shard_id, state, "
            "(SELECT source_id FROM places p WHERE p.image_id = i.image_id ORDER BY place_id DESC LIMIT 1) "
            "FROM images i WHERE died = ? AND image_id NOT IN (SELECT image_id FROM places WHERE died = ?)"
        )
        with self.transaction() as connection:
            return [
                (image_id, content_hash, shard_id is not None, source_id)
                for image_id, content_hash, shard_id, state, source_id in connection.execute(query, (FOREVER, FOREVER))
                if quarantined or state != QUARANTINED
            ]


def _within(source_id: int, container: bytes | None, below: bytes = b"") -> tuple[str, tuple[Any, ...]]:
    """SQL condition with its values: the row belongs to a source and, if given, to a container or is at or below a
    path."""
    if container is not None:
        return "source_id = ? AND path > ? AND path < ?", (source_id, *_inside_container(container))
    if not below:
        return "source_id = ?", (source_id,)
    # `0` is the byte after `/`, so this is a range of the index; the rest filters within it.
    return (
        "source_id = ? AND path >= ? AND path < ? AND (path = ? OR path > ? OR path > ? AND path < ?)",
        (source_id, below, below + b"0", below, below + b"/", *_inside_container(below)),
    )


def _inside_container(path: bytes) -> tuple[bytes, bytes]:
    """Return the bounds between which the paths of a container's members lie."""
    return path + MEMBER_SEPARATOR, path + b"\x01"


def get_meta(connection: Connection, name: str) -> str:
    """Return the value that the catalog records under a name. Raises LookupError where there is none."""
    if (value := find_meta(connection, name)) is None:
        raise LookupError(f"the catalog has no {name}")
    return value


def find_meta(connection: Connection, name: str) -> str | None:
    """As :func:`get_meta`; None where nothing is recorded under that name."""
    value = scalar(connection, "SELECT value FROM meta WHERE name = ?", (name,))
    return None if value is None else str(value)


def set_meta(connection: Connection, name: str, value: object) -> None:
    changed = connection.execute("UPDATE meta SET value = ? WHERE name = ?", (str(value), name))
    if not changed.rowcount:
        connection.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (name, str(value)))


def searchable_ids(connection: Connection, shard_id: int) -> npt.NDArray[np.int64]:
    """Ids of a shard's searchable rows: live images stored in it that are not suspended or quarantined."""
    query = "SELECT image_id FROM images WHERE shard_id = ? AND died = ? AND state = ?"
    return np.array(column(connection, query, (shard_id, FOREVER, LIVE)), np.int64)


def modalities(connection: Connection) -> dict[int, str]:
    """Modality of each space by its id, including past and unfinished spaces."""
    return dict(connection.execute("SELECT space_id, modality FROM spaces").fetchall())


def current_of(connection: Connection) -> Current:
    """Derive ``current.json`` from the catalog."""
    space_rows = connection.execute(
        "SELECT space_id, encoder, fingerprint, dim, modality, quality, note FROM spaces "
        "WHERE died = ? AND is_current = 1 ORDER BY modality, position, space_id",
        (FOREVER,),
    )
    spaces = tuple(SpaceInfo(*row) for row in space_rows)
    by_shard: dict[int, dict[str, Any]] = {}
    for shard_id, kind, path, space_id, name, row_count in connection.execute(
        "SELECT shard_id, kind, path, space_id, name, row_count FROM files "
        "WHERE died = ? AND shard_id IS NOT NULL ORDER BY path",
        (FOREVER,),
    ):
        parts = by_shard.setdefault(shard_id, {"spaces": [], "columns": {}})
        if kind == "vectors":
            parts["spaces"].append(space_id)
        elif kind == "dead":
            parts.update(dead=path, dead_rows=row_count)
        elif kind == "column":
            parts["columns"][name] = path
    shards = []
    shard_rows = "SELECT shard_id, row_count FROM shards WHERE died = ? ORDER BY shard_id"
    for shard_id, row_count in connection.execute(shard_rows, (FOREVER,)):
        parts = by_shard.get(shard_id, {"spaces": [], "columns": {}})
        shards.append(Shard(shard_id, row_count, **{**parts, "spaces": tuple(sorted(parts["spaces"]))}))
    snapshots = connection.execute("SELECT space_id, folder FROM snapshots WHERE died = ?", (FOREVER,))
    return Current(
        uuid=get_meta(connection, "uuid"),
        generation=int(get_meta(connection, "generation")),
        committed=get_meta(connection, "committed"),
        images=sum(s.rows - s.dead_rows for s in shards),
        spaces=spaces,
        shards=tuple(shards),
        snapshots={str(space_id): folder for space_id, folder in snapshots},
        next_image_id=int(get_meta(connection, "next_image_id")),
    )
