"""``collection.json`` and ``current.json``: what a reader needs before it opens anything else.

Where the catalog lies on a server, there is no ``current.json``: the catalog holds its content, written by the same
transaction as the rest of a generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imseek.data import durable, layout
from imseek.data.system_errors import system_error
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, FormatVersionError
from imseek.types import SpaceInfo


@dataclass(frozen=True, slots=True)
class Identity:
    """``collection.json``: written once, never changed. ``places`` is ``absolute`` or ``relative``."""

    uuid: str
    created: str
    places: str = "absolute"
    format: int = layout.FORMAT


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows written by one commit (or merged from several), and the files that say which of them are dead."""

    shard_id: int
    rows: int
    spaces: tuple[int, ...]
    dead: str | None = None
    dead_rows: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Current:
    """``current.json``: one generation. Written last by every commit.

    ``spaces`` are those in use, the default for images first, that of captions last. ``snapshots`` names FAISS
    snapshots by space (docs/format.md); a reader scans what no snapshot covers. ``next_image_id`` is above every
    id ever used, so that none is used again even where the catalog is lost; how far above does not matter.
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
        """The space that words and vectors are searched in."""
        return self.spaces[0]

    @property
    def image_spaces(self) -> tuple[SpaceInfo, ...]:
        """The spaces that pictures are searched in, the first one first."""
        return tuple(space for space in self.spaces if space.modality == "image")

    @property
    def caption_space(self) -> SpaceInfo | None:
        """The space of the vectors of captions; None where captions are not embedded."""
        return next((space for space in self.spaces if space.modality == "text"), None)


def read_identity(root: Path) -> Identity:
    """Raises CollectionNotFoundError, FormatVersionError or CorruptCollectionError."""
    document = read_sealed(root, layout.COLLECTION)
    try:
        return Identity(**document)
    except TypeError as error:
        raise _corrupt(root, layout.COLLECTION, error) from error


def read_current(root: Path) -> Current:
    """Raises CollectionNotFoundError, FormatVersionError or CorruptCollectionError."""
    if layout.is_elsewhere(root):
        from imseek.data.postgres import reading

        return parsed_current(root, reading.stated(root))
    return parsed_current(root, read_sealed(root, layout.CURRENT))


def parsed_current(root: Path, document: dict[str, Any]) -> Current:
    """The content of ``current.json``. Raises CorruptCollectionError."""
    try:
        document["spaces"] = tuple(SpaceInfo(**s) for s in document["spaces"])
        document["shards"] = tuple(Shard(**{**s, "spaces": tuple(s["spaces"])}) for s in document["shards"])
        return Current(**document)
    except (KeyError, TypeError) as error:
        raise _corrupt(root, layout.CURRENT, error) from error


def look(root: Path) -> tuple[int | str, ...] | None:
    """What tells one generation from another without reading all of it; None where that cannot be seen.

    Raises StorageError where the catalog lies on a server that does not answer.
    """
    if layout.is_elsewhere(root):
        from imseek.data.postgres import reading

        return reading.look(root)
    try:
        facts = (root / layout.CURRENT).stat()
    except OSError:
        return None
    # A commit puts another file in its place.
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def write_identity(root: Path, identity: Identity, staging: Path) -> None:
    durable.write_file(root / layout.COLLECTION, sealed(identity), staging=staging)


def write_current(root: Path, current: Current, staging: Path) -> None:
    durable.write_file(root / layout.CURRENT, sealed(current), staging=staging)


def sealed(record: Identity | Current) -> bytes:
    """The content of ``collection.json`` or of ``current.json``."""
    return durable.seal(asdict(record))


def read_sealed(root: Path, name: str) -> dict[str, Any]:
    """A sealed JSON file of a collection.

    Every format seals its files in the same way, so a later version is told from a damaged byte. Raises
    CollectionNotFoundError, FormatVersionError, CorruptCollectionError, or StorageError where it cannot be read now.
    """
    try:
        data = (root / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if any((root / there).exists() for there in (layout.CATALOG, layout.COLLECTION, layout.ADDRESS)):
            raise _corrupt(root, name, error) from error
        raise CollectionNotFoundError(
            f"no collection at {root}", hint="`imseek collection list` shows those there are"
        ) from error
    except OSError as error:
        raise system_error(error, root / name) from error
    return unsealed(root, name, data)


def unsealed(root: Path, name: str, data: bytes) -> dict[str, Any]:
    """As :func:`read_sealed`, of bytes that were read from ``name``."""
    try:
        document = durable.unseal(data)
    except ValueError as error:
        raise _corrupt(root, name, error) from error
    version = document.get("format")
    latest = layout.FORMAT_ELSEWHERE if name in (layout.COLLECTION, layout.ADDRESS) else layout.FORMAT
    if isinstance(version, int) and version > latest:
        raise FormatVersionError(
            f"{root} has format {version}; this imseek reads up to format {latest}",
            hint="update imseek",
        )
    return document


def _corrupt(root: Path, name: str, error: Exception) -> CorruptCollectionError:
    return CorruptCollectionError(
        f"{root}/{name} is damaged or missing: {error}", hint=f"imseek collection repair {root}"
    )
