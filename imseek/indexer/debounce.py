"""Debounce file events until a path is stable and can be indexed.

A path is stable when it has had no event for a while and looks the same as at its last event, which also detects
files that grow without events (on a network, or memory-mapped). A path that has disappeared waits for paths that
appeared at about the same time, because together they may be a move.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

#: Size, modification time and inode; None if nothing exists there.
FileState: TypeAlias = tuple[int, int, int] | None


def read_file_state(path: bytes) -> FileState:
    """Return the size, modification time and inode of a path, or None if nothing exists there."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ino


@dataclass(slots=True)
class _PendingPath:
    """A path that is not stable yet: its first and last event, and its state at the last one."""

    first: float
    last: float
    look: FileState


class PathDebouncer:
    """Waits until paths are stable. Times are seconds of one clock; ``quiet`` is how long a path must have no event."""

    def __init__(self, quiet: float, look: Callable[[bytes], FileState] = read_file_state) -> None:
        self._quiet = quiet
        self._look = look
        self._pending: dict[bytes, _PendingPath] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pending)

    def touch(self, path: bytes, now: float) -> None:
        """Record an event on ``path``."""
        before = self._pending.get(path)
        self._pending[path] = _PendingPath(now if before is None else before.first, now, self._look(path))

    def ready(self, now: float) -> dict[bytes, bool]:
        """Return the stable paths, each with whether something exists there."""
        settled: dict[bytes, bool] = {}
        restless: list[_PendingPath] = []
        for path, pending in self._pending.items():
            if now - pending.last < self._quiet:
                restless.append(pending)
            elif (look := self._look(path)) != pending.look:
                pending.last, pending.look = now, look
                restless.append(pending)
            else:
                settled[path] = look is not None
        arriving = [pending.first for pending in restless if pending.look is not None]
        for path in [path for path, exists in settled.items() if not exists]:
            vanished_at = self._pending[path].last
            if any(abs(first - vanished_at) <= self._quiet for first in arriving):
                del settled[path]
        return settled

    def forget(self, paths: Iterable[bytes]) -> None:
        for path in list(paths):
            self._pending.pop(path, None)


def below(folder: bytes, path: bytes) -> bool:
    """Return whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def cover(stable: Collection[bytes], pending: Iterable[bytes], roots: Collection[bytes], most: int) -> set[bytes]:
    """Return at most ``most`` paths that include all ``stable`` paths, each within one of the ``roots``.

    Folders replace the paths inside them, deepest first, unless something inside is still ``pending``. The result has
    more than ``most`` paths if pending paths prevent further merging.
    """
    blocked = {folder for path in pending for folder in _above(path)}
    paths, fixed = _outermost(stable), set[bytes]()
    while len(paths) + len(fixed) > most and paths:
        depth = max(path.count(b"/") for path in paths)
        for path in [path for path in paths if path.count(b"/") == depth]:
            paths.discard(path)
            folder = os.path.dirname(path)
            free = path not in roots and folder not in blocked and os.path.isdir(folder)
            (paths if free else fixed).add(folder if free else path)
    return _outermost(paths | fixed)


def _outermost(paths: Collection[bytes]) -> set[bytes]:
    among = set(paths)
    return {path for path in among if not any(folder in among for folder in _above(path))}


def _above(path: bytes) -> Iterator[bytes]:
    """Yield the folders that contain ``path``, innermost first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder
