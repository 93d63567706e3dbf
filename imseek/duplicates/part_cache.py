"""Cache finished parts of long computations in a collection, so that the next call resumes there.

The cache is optional: damaged, unreadable or missing parts are recomputed, and if nothing can be written the work is
done all the same (:mod:`imseek.data.files.array_cache`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from imseek.data.files.array_cache import Arrays, CacheFolder

#: The dtype of a column: of a number, or of a few numbers together.
ColumnKind: TypeAlias = type[np.generic] | np.dtype[np.void]
#: Numbers of one row: its key, or its values.
Row: TypeAlias = tuple[Any, ...]

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
        cached = set()
        for file in () if self._folder is None else self._folder.files():
            if file.startswith(f"{stage}-") and self._folder is not None:
                stem, _, ending = file.partition(".")
                if stem in names and ending == "npz":
                    cached.add(stem)
                else:
                    self._folder.remove(file)
        return cached

    def load(self, name: str, kinds: Sequence[ColumnKind]) -> Arrays | None:
        """Return the arrays of a name, of equal length and of the dtypes ``kinds``; None if missing or damaged."""
        names = [f"arr_{n}" for n in range(len(kinds))]
        if self._folder is None or (arrays := self._folder.read(f"{name}.npz", *names)) is None:
            return None
        sound = all(a.ndim == 1 and a.dtype == kind for a, kind in zip(arrays, kinds, strict=True))
        return arrays if sound and len({len(a) for a in arrays}) == 1 else None

    def save(self, name: str, arrays: Arrays) -> None:
        if self._folder is not None:
            self._folder.write(f"{name}.npz", {f"arr_{n}": array for n, array in enumerate(arrays)})


class CacheTable:
    """Rows of numbers by key, all of them in one file of a cache, which is read on first use.

    ``keys`` and ``values`` are the dtypes of the columns. Other files of a ``stage`` are removed: they are of earlier
    versions.
    """

    def __init__(
        self,
        cache: PartCache,
        name: str,
        keys: Sequence[ColumnKind],
        values: Sequence[ColumnKind],
        *,
        stage: str | None = None,
    ) -> None:
        self._cache, self._name, self._stage = cache, name, stage
        self._kinds, self._width = (*keys, *values), len(keys)
        self._rows: dict[Row, Row] | None = None
        self._is_changed = False

    def get(self, *key: int) -> Row | None:
        return self._read().get(key)

    def put(self, *key: int, row: Row) -> None:
        self._read()[key] = row
        self._is_changed = True

    def save(self) -> None:
        """Write the rows, if there are new ones."""
        if self._is_changed:
            columns = zip(*(key + row for key, row in self._read().items()), strict=True)
            arrays = (np.array(list(column), kind) for column, kind in zip(columns, self._kinds, strict=True))
            self._cache.save(self._name, tuple(arrays))
            self._is_changed = False

    def _read(self) -> dict[Row, Row]:
        if self._rows is None:
            if self._stage is not None:
                self._cache.only(self._stage, {self._name})
            columns = self._cache.load(self._name, self._kinds) or ()
            rows = zip(*(column.tolist() for column in columns), strict=True)
            self._rows = {row[: self._width]: row[self._width :] for row in rows}
        return self._rows
