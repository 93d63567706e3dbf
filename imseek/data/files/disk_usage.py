"""Measure a collection's disk usage by purpose, from names and sizes alone: no file is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imseek.data import layout
from imseek.data.files.collection_files import find_files, stat_file

if TYPE_CHECKING:
    from imseek.types.maintenance_reports import DiskUse

#: By top-level name; folders of vectors are distinguished below.
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
    """Measure the disk usage by kind of file, largest first."""
    from imseek.types.maintenance_reports import DiskUse

    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, size in sizes_of(root):
        kind = _kind(path)
        files[kind] += 1
        sizes[kind] += size
    return tuple(DiskUse(kind, files[kind], amount) for kind, amount in sizes.most_common())


def sizes_of(root: Path) -> Iterator[tuple[str, int]]:
    """Yield the path below the root and the size in bytes of every file."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for path in (*names, *find_files(root, *layout.FOLDERS).files):
        if (info := stat_file(root, path)) is not None:  # None: a writer has removed it meanwhile.
            yield path, info.st_size


def _kind(path: str) -> str:
    top = path.partition("/")[0]
    if top == layout.SPACES:
        file = layout.parse(path)
        return "index" if file is not None and file.kind == "snapshot" else "vectors"
    if top in layout.BACKUPS:
        return "backups"
    if top in (layout.CATALOG, layout.ADDRESS) or top in layout.CATALOG_COMPANIONS:
        return "catalog"
    return _KINDS.get(top, "other")
