"""Read and write ``collection.json`` and ``current.json``, checking what is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.files.checked_json import JsonObject, check_integer
from imseek.data.files.checksummed_json import corrupt_file_error, read_checksummed
from imseek.types.spaces import SpaceInfo

#: The generation in which live rows of the catalog die.
FOREVER: Final = 2**63 - 1
#: Highest accepted dimension of a vector and row count of a shard.
MAX_DIM: Final = 1 << 16
_MAX_ROWS: Final = 1 << 32
#: A fingerprint of weights, which is also part of names of cache files.
FINGERPRINT: Final = re.compile(r"[A-Za-z0-9:._+-]{1,200}")


@dataclass(frozen=True, slots=True)
class Identity:
    """``collection.json``: written once, never changed. ``places`` is ``absolute`` or ``relative``."""

    uuid: str
    created: str
    places: str = "absolute"
    format: int = layout.FORMAT


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows written by one commit (or merged from several), and the files that list which of them are dead."""

    shard_id: int
    rows: int
    spaces: tuple[int, ...]
    dead: str | None = None
    dead_rows: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Current:
    """``current.json``: one generation. Every commit writes it last.

    ``spaces`` are those in use, the default image space first, the caption space last. ``snapshots`` names FAISS
    snapshots by space (docs/format.md); a reader scans the rows that no snapshot covers. ``next_image_id`` is above
    every id ever used, so that no id is reused even if the catalog is lost; the size of the gap does not matter.
    """

    uuid: str
    generation: int
    committed: str
    images: int
    spaces: tuple[SpaceInfo, ...]
    shards: tuple[Shard, ...]
    snapshots: Mapping[str, str] = field(default_factory=dict)
    next_image_id: int = field(default=0, compare=False)
    format: int = layout.FORMAT

    @property
    def space(self) -> SpaceInfo:
        """The default space, which text and vector queries search."""
        return self.spaces[0]

    @property
    def image_spaces(self) -> tuple[SpaceInfo, ...]:
        """The image spaces, the default first."""
        return tuple(space for space in self.spaces if space.modality == "image")

    @property
    def caption_space(self) -> SpaceInfo | None:
        """The space of caption vectors; None where captions are not embedded."""
        return next((space for space in self.spaces if space.modality == "text"), None)


def read_identity(root: Path) -> Identity:
    """Read ``collection.json``. Raises CollectionNotFoundError, FormatVersionError or CorruptCollectionError."""
    record = read_checksummed(root, layout.COLLECTION)
    try:
        members = JsonObject(record, _field_names(Identity))
        return Identity(
            uuid=uuid_text(members),
            created=members.time("created"),
            places=members.text("places", choices=("absolute", "relative")) if "places" in members else "absolute",
            format=members.whole("format", least=1, most=layout.FORMAT_SERVER_CATALOG),
        )
    except ValueError as error:
        raise corrupt_file_error(root, layout.COLLECTION, error) from error


def uuid_text(document: JsonObject) -> str:
    """Read the member ``uuid`` and check that it is a UUID."""
    return str(UUID(document.text("uuid")))


def parse_current(root: Path, document: dict[str, Any]) -> Current:
    """Parse the content of ``current.json``. Raises CorruptCollectionError."""
    try:
        return _parse_current(JsonObject(document, _field_names(Current)))
    except ValueError as error:
        raise corrupt_file_error(root, layout.CURRENT, error) from error


def _parse_current(document: JsonObject) -> Current:
    spaces = tuple(_parse_space(JsonObject(item, _field_names(SpaceInfo))) for item in document.items("spaces"))
    shards = tuple(_parse_shard(JsonObject(item, _field_names(Shard))) for item in document.items("shards"))
    for kind, ids in (("space", [s.space_id for s in spaces]), ("shard", [s.shard_id for s in shards])):
        if len(set(ids)) < len(ids):
            raise ValueError(f"a {kind} occurs twice")
    if not any(space.modality == "image" for space in spaces[:1]):
        raise ValueError("its first space is not an image space")
    snapshots = document.texts_by_name("snapshots") if "snapshots" in document else {}
    for space_id, folder in snapshots.items():
        file = layout.parse_snapshot_folder(folder)
        if file is None or str(file.space_id) != space_id:
            raise ValueError(f"{folder[:80]!r} is not an index of space {space_id[:20]}")
    return Current(
        uuid=uuid_text(document),
        generation=document.whole("generation"),
        committed=document.time("committed"),
        images=document.whole("images"),
        spaces=spaces,
        shards=shards,
        snapshots=snapshots,
        next_image_id=document.whole("next_image_id") if "next_image_id" in document else 0,
        format=document.whole("format", least=1, most=layout.FORMAT),
    )


def _parse_space(document: JsonObject) -> SpaceInfo:
    return SpaceInfo(
        space_id=document.whole("space_id"),
        encoder=document.text("encoder"),
        fingerprint=document.text("fingerprint", pattern=FINGERPRINT),
        dim=document.whole("dim", least=1, most=MAX_DIM),
        modality=document.text("modality", choices=("image", "text")),
        quality=document.text("quality"),
        note=document.text("note") if "note" in document else None,
    )


def _parse_shard(document: JsonObject) -> Shard:
    shard_id = document.whole("shard_id")
    dead = document.text("dead") if "dead" in document else None
    columns = document.texts_by_name("columns") if "columns" in document else {}
    dead_files = [("dead", None, dead)] if dead is not None else []
    for kind, name, path in [*dead_files, *(("column", name, path) for name, path in columns.items())]:
        file = layout.parse(path)
        if file is None or (file.kind, file.shard_id, file.name) != (kind, shard_id, name):
            raise ValueError(f"{path[:80]!r} is not a file of shard {shard_id}")
    rows = document.whole("rows", most=_MAX_ROWS)
    return Shard(
        shard_id=shard_id,
        rows=rows,
        spaces=tuple(check_integer(item, "spaces") for item in document.items("spaces")),
        dead=dead,
        dead_rows=document.whole("dead_rows", most=rows) if "dead_rows" in document else 0,
        columns=columns,
    )


def _field_names(record: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(record))


def encode_record(record: Identity | Current) -> bytes:
    """Encode the content of ``collection.json`` or ``current.json``."""
    return durable_files.add_checksum(asdict(record))


def write_identity(root: Path, identity: Identity, staging: Path) -> None:
    durable_files.write_file(root / layout.COLLECTION, encode_record(identity), staging=staging)


def write_current(root: Path, current: Current, staging: Path) -> None:
    durable_files.write_file(root / layout.CURRENT, encode_record(current), staging=staging)
