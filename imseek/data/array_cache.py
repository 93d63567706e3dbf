"""Files of arrays in a collection's cache: results that can be computed again.

Nothing depends on them: what is damaged, unreadable or missing reads as None, and where nothing can be written, nothing
is. Every file is written under another name and renamed; the CRC-32 that a ZIP file has of each array tells a damaged
one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import collection_files, layout
from imseek.data.trust import is_trusted
from imseek.errors import ImseekError, StorageError

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]


class CacheFolder:
    """A folder in the cache of the collection at ``root``; ``name`` is its path below ``cache/``.

    In a collection that is not trusted it is read, and nothing in it is changed.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = f"{layout.CACHE}/{name}"

    def files(self) -> list[str]:
        """The names of the files in it, in order."""
        return [path.rpartition("/")[2] for path in self._find(self._name).files]

    def read(self, file: str, *names: str) -> Arrays | None:
        """Arrays of a file by their names; None where one is missing, or damaged."""
        try:
            with collection_files.open_file(self._root, f"{self._name}/{file}") as opened:
                return collection_files.read_arrays(opened, names)
        except (OSError, StorageError, ValueError, MemoryError):
            return None

    def write(self, file: str, arrays: Mapping[str, Any]) -> bool:
        """Write arrays by name into a file, all or none.

        False where that cannot be, on a full disk for instance.
        """
        written = f"{self._name}/{file.removesuffix('.npz')}.{os.getpid()}.part"
        if not self._may_write():
            return False
        try:
            collection_files.remove_files(self._root, [written])
            with collection_files.create_file(self._root, written) as made:
                np.savez(made, **arrays)
            collection_files.rename_file(self._root, written, f"{self._name}/{file}")
        except (OSError, StorageError):
            with suppress(OSError, StorageError):
                collection_files.remove_files(self._root, [written])
            return False
        return True

    def remove(self, file: str) -> None:
        """Remove a file, as far as that can be."""
        if self._may_write():
            with suppress(OSError, StorageError):
                collection_files.remove_files(self._root, [f"{self._name}/{file}"])

    def forget_others(self, most: int) -> None:
        """Mark this folder as used now, and remove those beside it that were not among the ``most`` used last."""
        if not self._may_write():
            return
        with suppress(OSError, StorageError):
            collection_files.touch(self._root, self._name)
        above = self._name.rpartition("/")[0]
        beside = [path for path in self._find(above).folders if path.rpartition("/")[0] == above]
        ages = {path: self._age(path) for path in beside if path != self._name}
        for path in sorted(ages, key=ages.__getitem__)[: max(0, len(ages) - most + 1)]:
            with suppress(OSError, StorageError):
                collection_files.remove_folder(self._root, path)

    def _may_write(self) -> bool:
        """Whether the collection is there, and trusted."""
        with suppress(ImseekError):
            return is_trusted(self._root)
        return False

    def _age(self, path: str) -> float:
        with suppress(OSError, StorageError):
            found = collection_files.stat_file(self._root, path)
            return 0.0 if found is None else found.st_mtime
        return 0.0

    def _find(self, folder: str) -> collection_files.FoundFiles:
        with suppress(OSError, StorageError):
            return collection_files.find_files(self._root, folder)
        return collection_files.FoundFiles([], [], {})
