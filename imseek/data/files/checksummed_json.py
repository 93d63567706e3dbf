"""Read the JSON files of a collection that have a checksum and the version of their format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.files.collection_files import read_file
from imseek.data.files.system_errors import system_error
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, FormatVersionError, repair_command


def read_checksummed(root: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a collection and verify its checksum.

    Every format has the same checksum, so a later version is distinguishable from damage. Raises
    CollectionNotFoundError, FormatVersionError, CorruptCollectionError, or StorageError where it cannot be read now.
    """
    try:
        data = read_file(root, name)
    except (FileNotFoundError, NotADirectoryError) as error:
        if any((root / other).exists() for other in (layout.CATALOG, layout.COLLECTION, layout.ADDRESS)):
            raise corrupt_file_error(root, name, error) from error
        raise CollectionNotFoundError(
            f"no collection at {root}", hint="`imseek collection list` shows the existing ones"
        ) from error
    except OSError as error:
        raise system_error(error, root / name) from error
    return parse_checksummed(root, name, data)


def parse_checksummed(root: Path, name: str, data: bytes) -> dict[str, Any]:
    """As :func:`read_checksummed`, for bytes already read from ``name``."""
    try:
        document = durable_files.strip_checksum(data)
    except ValueError as error:
        raise corrupt_file_error(root, name, error) from error
    version = document.get("format")
    latest = layout.FORMAT_SERVER_CATALOG if name in (layout.COLLECTION, layout.ADDRESS) else layout.FORMAT
    if isinstance(version, int) and version > latest:
        raise FormatVersionError(
            f"{root} has format {version}; this imseek reads up to format {latest}",
            hint="update imseek",
        )
    return document


def corrupt_file_error(root: Path, name: str, error: Exception) -> CorruptCollectionError:
    """Build the error for a file of a collection whose content cannot be used."""
    cause = error.strerror if isinstance(error, OSError) and error.strerror else error
    return CorruptCollectionError(
        f"{root}/{name} is damaged or missing: {cause}",
        hint=repair_command(root),
    )
