"""Finished parts of a long piece of work, kept in a collection's cache so that the next call goes on there.

Nothing depends on them: what is damaged, unreadable or not there is made again, and where nothing can be written the
work is done all the same. Every file is written beside its name and renamed; the archive's own checksums (CRC-32 of
each array, as in every ZIP file) tell a damaged one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data import layout

#: What was asked lately: folders that are kept.
_KEPT: Final = 4
#: To be raised when the meaning of a file changes.
_VERSION: Final = "1"

Arrays = tuple[npt.NDArray[Any], ...]


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
        above = None if root is None else root / layout.CACHE / "duplicates"
        self._folder = None if above is None else above / asked
        if above is not None and self._folder is not None:
            with suppress(OSError):
                os.utime(self._folder)  # Asked just now, also where nothing is to be written.
            _forget(above, self._folder)

    def only(self, stage: str, names: Collection[str]) -> set[str]:
        """Of ``names``, those that are kept of a stage. All others of that stage are removed."""
        kept = set()
        for path in [] if self._folder is None else _listed(self._folder):
            if path.name.startswith(f"{stage}-"):
                if path.stem in names and path.suffix == ".npz":
                    kept.add(path.stem)
                else:
                    _unlink(path)
        return kept

    def load(self, name: str, kinds: Sequence[type[np.generic]]) -> Arrays | None:
        """The arrays of a name, of one length and of these ``kinds``; None where they are not kept, or damaged."""
        names = [f"arr_{n}" for n in range(len(kinds))]
        if self._folder is None or (arrays := read(self._folder / f"{name}.npz", *names)) is None:
            return None
        sound = all(a.ndim == 1 and a.dtype == kind for a, kind in zip(arrays, kinds, strict=True))
        return arrays if sound and len({len(a) for a in arrays}) == 1 else None

    def save(self, name: str, arrays: Arrays) -> None:
        if self._folder is not None:
            write(self._folder / f"{name}.npz", {f"arr_{n}": array for n, array in enumerate(arrays)})


def write(path: Path, arrays: Mapping[str, Any]) -> bool:
    """Arrays by name into a file, or none of them; False where that cannot be: on a full disk, or a read-only one."""
    written = path.with_name(f"{path.stem}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written.open("wb") as file:
            np.savez(file, **arrays)
        written.replace(path)
    except OSError:
        _unlink(written)
        return False
    return True


def read(path: Path, *names: str) -> Arrays | None:
    """Arrays of these names, as :func:`write` has written them; None where they are not there, or damaged."""
    try:
        # Opened here, since NumPy does not close what it cannot read.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return tuple(file[name] for name in names)
    except Exception:  # What damaged bytes make NumPy raise is not documented.
        return None


def _forget(above: Path, current: Path) -> None:
    """Remove what was asked before the last few times."""
    others = [path for path in _listed(above) if path != current]
    for path in sorted(others, key=_age)[: max(0, len(others) - _KEPT + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
