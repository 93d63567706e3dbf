"""What a collection takes of the disk, by what it is for. Names and sizes only: no file is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imseek.data import layout
from imseek.data.collection_files import find_files, stat_file
from imseek.types import DiskUse

#: By the name at the top of a collection; folders of vectors are told apart below.
_KINDS: Final = {
    layout.METADATA: "metadata",
    layout.COLUMNS: "metadata",
    layout.JUDGEMENTS: "judgements",
    layout.MODELS: "models",
    layout.UNDO: "undo",
    layout.JOBS: "logs",
    layout.CACHE: "cache",
    layout.STAGING: "unfinished",
}


def disk_use(root: Path) -> tuple[DiskUse, ...]:
    """The largest first."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, size in sizes_of(root):
        kind = _kind(path)
        files[kind] += 1
        sizes[kind] += size
    return tuple(DiskUse(kind, files[kind], amount) for kind, amount in sizes.most_common())


def sizes_of(root: Path) -> Iterator[tuple[str, int]]:
    """Every file of a collection, by its path below the root, with its size in bytes."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for path in (*names, *find_files(root, *layout.FOLDERS).files):
        if (found := stat_file(root, path)) is not None:  # Else a writer has removed it meanwhile.
            yield path, found.st_size


def _kind(path: str) -> str:
    top = path.partition("/")[0]
    if top == layout.SPACES:
        listed = layout.parse(path)
        return "index" if listed is not None and listed.kind == "snapshot" else "vectors"
    if top in layout.BACKUPS:
        return "backups"
    if top in (layout.CATALOG, layout.ADDRESS) or top in layout.CATALOG_COMPANIONS:
        return "catalog"
    return _KINDS.get(top, "other")
