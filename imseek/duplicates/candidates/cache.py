"""Cache finished parts of long computations in a collection, so that the next call resumes there.

The cache is optional: damaged, unreadable or missing parts are recomputed, and if nothing can be written the work is
done all the same (:mod:`imseek.data.files.disk_cache`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data.files.disk_cache import Arrays, CacheFolder

#: Number of recently used folders to keep: that of qualities, and two for each condition.
_MAX_FOLDERS: Final = 6
#: Increase when the meaning of a cached file changes.
_VERSION: Final = "1"


def digest(*parts: object) -> str:
    """Hash everything that a result depends on, for use in cache names: 24 hexadecimal digits."""
    sha = hashlib.sha256(_VERSION.encode())
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:24]


class PartCache:
    """Named arrays of one computation on one collection. ``root`` is the collection's folder; None disables the
    cache."""

    def __init__(self, root: Path | None, key: str) -> None:
        self._folder = None if root is None else CacheFolder(root, f"duplicates/{key}")
        if self._folder is not None:
            self._folder.evict_others(_MAX_FOLDERS)

    def only(self, stage: str, names: Collection[str]) -> set[str]:
        """Return those of ``names`` that are cached for a stage, and remove all others of that stage."""
        kept = set()
        for file in () if self._folder is None else self._folder.files():
            if file.startswith(f"{stage}-") and self._folder is not None:
                stem, _, ending = file.partition(".")
                if stem in names and ending == "npz":
                    kept.add(stem)
                else:
                    self._folder.remove(file)
        return kept

    def load(self, name: str, kinds: Sequence[type[np.generic] | np.dtype[np.void]]) -> Arrays | None:
        """Return the arrays of a name, of equal length and of the dtypes ``kinds``; None if missing or damaged."""
        names = [f"arr_{n}" for n in range(len(kinds))]
        if self._folder is None or (arrays := self._folder.read(f"{name}.npz", *names)) is None:
            return None
        sound = all(a.ndim == 1 and a.dtype == kind for a, kind in zip(arrays, kinds, strict=True))
        return arrays if sound and len({len(a) for a in arrays}) == 1 else None

    def save(self, name: str, arrays: Arrays) -> None:
        if self._folder is not None:
            self._folder.write(f"{name}.npz", {f"arr_{n}": array for n, array in enumerate(arrays)})
