"""Reports about backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """The contents of an archive according to its header: one ``generation`` of the collection ``uuid`` with ``images``
    images.

    ``committed`` is the time of that generation, ``created`` the time the archive was begun (ISO 8601, UTC), ``imseek``
    the version that wrote it. ``index`` is False where approximate indexes were left out. ``files`` and ``bytes`` are
    those of the collection.
    """

    uuid: str
    generation: int
    committed: str
    created: str
    imseek: str
    images: int
    index: bool
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BackupReport:
    """An archive that was written or verified; ``size`` is that of the archive in bytes."""

    backup: BackupInfo
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A collection restored from an archive to ``path``.

    ``uuid`` is that of the original unless a new one was requested. ``journals_left_out`` counts undo journals that
    were not restored.
    """

    backup: BackupInfo
    path: Path
    uuid: str
    seconds: float
    journals_left_out: int = 0
