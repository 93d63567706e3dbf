"""Finished parts of a long piece of work, kept in a collection's cache so that the next call goes on there.

Nothing depends on them: what is damaged, unreadable or not there is made again, and where nothing can be written the
work is done all the same (:mod:`imseek.data.array_cache`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data.array_cache import Arrays, CacheFolder

#: What was asked lately: folders that are kept.
_KEPT: Final = 4
#: To be raised when the meaning of a file changes.
_VERSION: Final = "1"


def digest(*parts: object) -> str:
    """A name for what a piece of work depends on: 24 hexadecimal digits."""
    sha = hashlib.sha256(_VERSION.encode())
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:24]


class Kept:
    """Arrays by name, of one question to one collection. ``root`` is the collection's folder; None keeps nothing."""

    def __init__(self, root: Path | None, asked: str) -> None:
        self._folder = None if root is None else CacheFolder(root, f"duplicates/{asked}")
        if self._folder is not None:
            self._folder.forget_others(_KEPT)

    def only(self, stage: str, names: Collection[str]) -> set[str]:
        """Of ``names``, those that are kept of a stage. All others of that stage are removed."""
        kept = set()
        for file in () if self._folder is None else self._folder.files():
            if file.startswith(f"{stage}-") and self._folder is not None:
                stem, _, ending = file.partition(".")
                if stem in names and ending == "npz":
                    kept.add(stem)
                else:
                    self._folder.remove(file)
        return kept

    def load(self, name: str, kinds: Sequence[type[np.generic]]) -> Arrays | None:
        """The arrays of a name, of one length and of these ``kinds``; None where they are not kept, or damaged."""
        names = [f"arr_{n}" for n in range(len(kinds))]
        if self._folder is None or (arrays := self._folder.read(f"{name}.npz", *names)) is None:
            return None
        sound = all(a.ndim == 1 and a.dtype == kind for a, kind in zip(arrays, kinds, strict=True))
        return arrays if sound and len({len(a) for a in arrays}) == 1 else None

    def save(self, name: str, arrays: Arrays) -> None:
        if self._folder is not None:
            self._folder.write(f"{name}.npz", {f"arr_{n}": array for n, array in enumerate(arrays)})
