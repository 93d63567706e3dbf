"""Array files in a collection's cache: results that can be recomputed.

Nothing depends on them: a damaged, unreadable or missing file reads as None, and failed writes are skipped. Each file
is written under a temporary name and renamed. The CRC-32 that ZIP keeps of each array detects damage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.files import collection_files
from imseek.data.trust import is_trusted
from imseek.errors import ImseekError, StorageError

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]


class CacheFolder:
    """A folder in the cache of the collection at ``root``; ``name`` is its path below ``cache/``.

    In an untrusted collection it is read-only.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = f"{layout.CACHE}/{name}"

    def files(self) -> list[str]:
        """List the file names in the folder, sorted."""
        return [path.rpartition("/")[2] for path in self._find(self._name).files]

    def read(self, file: str, *names: str) -> Arrays | None:
        """Read arrays of a file by name; None where one is missing or damaged."""
        try:
            with collection_files.open_file(self._root, f"{self._name}/{file}") as stream:
                return collection_files.read_arrays(stream, names)
        except (OSError, StorageError, ValueError, MemoryError):
            return None

    def write(self, file: str, arrays: Mapping[str, Any]) -> bool:
        """Write named arrays to a file atomically. Returns False on failure, such as a full disk."""
        part = f"{self._name}/{file.removesuffix('.npz')}.{os.getpid()}.part"
        if not self._may_write():
            return False
        try:
            collection_files.remove_files(self._root, [part])
            with collection_files.create_file(self._root, part) as stream:
                np.savez(stream, **arrays)
            collection_files.rename_file(self._root, part, f"{self._name}/{file}")
        except (OSError, StorageError):
            with suppress(OSError, StorageError):
                collection_files.remove_files(self._root, [part])
            return False
        return True

    def remove(self, file: str) -> None:
        """Remove a file if possible."""
        if self._may_write():
            with suppress(OSError, StorageError):
                collection_files.remove_files(self._root, [f"{self._name}/{file}"])

    def evict_others(self, most: int) -> None:
        """Mark this folder as just used, and evict siblings until at most ``most`` recently used folders remain."""
        if not self._may_write():
            return
        with suppress(OSError, StorageError):
            collection_files.touch(self._root, self._name)
        parent = self._name.rpartition("/")[0]
        beside = [path for path in self._find(parent).folders if path.rpartition("/")[0] == parent]
        ages = {path: self._age(path) for path in beside if path != self._name}
        for path in sorted(ages, key=ages.__getitem__)[: max(0, len(ages) - most + 1)]:
            with suppress(OSError, StorageError):
                collection_files.remove_folder(self._root, path)

    def _may_write(self) -> bool:
        """Whether the collection exists and is trusted."""
        with suppress(ImseekError):
            return is_trusted(self._root)
        return False

    def _age(self, path: str) -> float:
        with suppress(OSError, StorageError):
            info = collection_files.stat_file(self._root, path)
            return 0.0 if info is None else info.st_mtime
        return 0.0

    def _find(self, folder: str) -> collection_files.FoundFiles:
        with suppress(OSError, StorageError):
            return collection_files.find_files(self._root, folder)
        return collection_files.FoundFiles([], [], {})
