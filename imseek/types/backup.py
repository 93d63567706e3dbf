"""Backups: what an archive holds, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """What an archive says that it holds: one ``generation`` of the collection ``uuid``, in which ``images`` are found.

    ``committed`` is when that was, ``created`` when the archive was begun (ISO 8601, UTC), ``imseek`` the version that
    wrote it. ``index`` is False where approximate indexes were left out. ``files`` and ``bytes`` are of the collection.
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
    """An archive that was written, or read and found sound; ``size`` is its own, in bytes."""

    backup: BackupInfo
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A collection that was made from an archive at ``path``. Its ``uuid`` is that of the one that was backed up,
    unless it was to get one of its own. ``journals_left_out`` counts the undo journals that stayed in the archive."""

    backup: BackupInfo
    path: Path
    uuid: str
    seconds: float
    journals_left_out: int = 0
