"""Checking and mending collections, also ones that do not open."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.types import RepairReport, VerifyReport


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read every file of a collection and compare it with what is recorded. Changes nothing.

    Raises CollectionNotFoundError where there is none, FormatVersionError for a later format, LockedError while a
    writer is at work.
    """
    from imseek.data.verify import verify as verify_files

    return verify_files(Path(path).expanduser().absolute())


def repair(path: str | os.PathLike[str]) -> RepairReport:
    """Mend what can be mended, from shards, backups and the catalog; the report names what is lost.

    Images whose vector is lost are encoded again by the next ``index``, under their old ids. Raises
    CollectionNotFoundError, LockedError, ReadOnlyError.
    """
    from imseek.data.repair import repair as repair_files

    return repair_files(Path(path).expanduser().absolute())
