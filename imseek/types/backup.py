"""Reports about backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from imseek.types.json_form import Count, Json, Seconds


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """The contents of an archive according to its header: one generation of a collection."""

    uuid: str
    """UUID of the collection."""
    generation: Count
    committed: str
    """Time when that generation was committed (ISO 8601, UTC)."""
    created: str
    """Time when the archive was begun (ISO 8601, UTC)."""
    imseek: str
    """The version that wrote the archive."""
    images: Count
    """Live images of that generation."""
    index: bool
    """False where approximate indexes were left out."""
    files: Count
    """Files of the collection in the archive."""
    bytes: Count
    """Total size of those files."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """An archive that was written or verified."""

    backup: BackupInfo
    size: Count
    """Size of the archive in bytes."""
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A collection restored from an archive."""

    backup: BackupInfo
    path: Annotated[Path, Json(hidden=True)]
    """Where the collection is."""
    uuid: Annotated[str, Json(hidden=True)]
    """UUID of the original, unless a new one was requested."""
    seconds: Seconds
    journals_left_out: Count = 0
    """Undo journals that were not restored."""
