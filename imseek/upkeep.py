"""Checking, mending and tidying collections; the first two also where they do not open."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.data.system_errors import explained
from imseek.types import MergeReport, PurgeReport, RepairReport, VerifyReport


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read every file of a collection and compare it with what is recorded. Changes nothing.

    Raises CollectionNotFoundError where there is none, FormatVersionError for a later format, LockedError while a
    writer is at work.
    """
    from imseek.data.verify import verify as verify_files

    root = Path(path).expanduser().absolute()
    with explained(root):
        return verify_files(root)


def repair(path: str | os.PathLike[str]) -> RepairReport:
    """Mend what can be mended, from shards, backups and the catalog; the report names what is lost.

    Images whose vector is lost are encoded again by the next ``index``, under their old ids. Raises
    CollectionNotFoundError, LockedError, ReadOnlyError.
    """
    from imseek.data.repair import repair as repair_files

    root = Path(path).expanduser().absolute()
    with explained(root):
        return repair_files(root)


def merge(path: str | os.PathLike[str]) -> MergeReport:
    """Merge small shards until nothing is due, and clear away files that nobody uses any more.

    Indexing does the same along the way. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError where a file of the collection is damaged.
    """
    from imseek.data.merge import merge_due
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --merge") as writer:
        before = len(writer.current().shards)
        merges = merge_due(writer)
        return MergeReport(merges, before, len(writer.current().shards), writer.swept)


def purge(path: str | os.PathLike[str]) -> PurgeReport:
    """Remove the last bytes of what has left a collection: from shards, catalog, backups and cache.

    Gone are vectors, metadata, places and tags of images that were removed or have changed. Of what still lies in
    a source, nothing is gone: ``index`` first where files have been deleted. Judgements stay: they speak of
    contents. Searches go on meanwhile. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError where a file of the collection is damaged.
    """
    from imseek.data.purge import purge as purge_files
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --purge") as writer:
        return purge_files(writer)
