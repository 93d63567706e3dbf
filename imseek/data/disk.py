"""What a collection takes of the disk, by what it is for. Names and sizes only: no file is opened."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

from imseek.data import layout
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
    for folder, _, names in os.walk(root):
        inside = os.path.relpath(folder, root)
        for name in names:
            try:
                found = os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # A writer is at work.
                continue
            kind = _kind(os.path.normpath(os.path.join(inside, name)))
            files[kind] += 1
            sizes[kind] += found
    return tuple(DiskUse(kind, files[kind], amount) for kind, amount in sizes.most_common())


def _kind(path: str) -> str:
    top = path.partition(os.sep)[0]
    if top == layout.SPACES:
        return "index" if layout.is_snapshot(path) else "vectors"
    if top in layout.BACKUPS:
        return "backups"
    if top in (layout.CATALOG, layout.ADDRESS) or top in layout.CATALOG_COMPANIONS:
        return "catalog"
    return _KINDS.get(top, "other")
