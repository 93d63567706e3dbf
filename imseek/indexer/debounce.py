"""Paths that something happened to, until they have come to rest: which of them can be indexed now, and how.

A path has settled when no event came for it for a while and it looks as it did when the last one came: a file that
grows without events (on a network, or mapped into memory) is noticed too. A path that has gone waits for arrivals of
the same moment, since together they may be a move.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

#: Size, time of modification and inode; None where there is nothing.
Look: TypeAlias = tuple[int, int, int] | None


def look_at(path: bytes) -> Look:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ino


@dataclass(slots=True)
class _Waiting:
    first: float
    last: float
    look: Look


class Settling:
    """Paths that wait. Times are seconds of one clock; ``quiet`` is how long a path must be left alone."""

    def __init__(self, quiet: float, look: Callable[[bytes], Look] = look_at) -> None:
        self._quiet = quiet
        self._look = look
        self._waiting: dict[bytes, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._waiting)

    def touch(self, path: bytes, now: float) -> None:
        """Something happened to ``path``."""
        before = self._waiting.get(path)
        self._waiting[path] = _Waiting(now if before is None else before.first, now, self._look(path))

    def ready(self, now: float) -> dict[bytes, bool]:
        """The paths that have settled; whether there is something at each."""
        settled: dict[bytes, bool] = {}
        restless: list[_Waiting] = []
        for path, waiting in self._waiting.items():
            if now - waiting.last < self._quiet:
                restless.append(waiting)
            elif (look := self._look(path)) != waiting.look:
                waiting.last, waiting.look = now, look
                restless.append(waiting)
            else:
                settled[path] = look is not None
        arriving = [waiting.first for waiting in restless if waiting.look is not None]
        for path in [path for path, there in settled.items() if not there]:
            gone = self._waiting[path].last
            if any(abs(first - gone) <= self._quiet for first in arriving):
                del settled[path]
        return settled

    def forget(self, paths: Iterable[bytes]) -> None:
        for path in list(paths):
            self._waiting.pop(path, None)


def below(folder: bytes, path: bytes) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def cover(
    ready: Collection[bytes], waiting: Iterable[bytes], roots: Collection[bytes], most: int
) -> set[bytes]:
    """At most ``most`` paths at or above those that are ``ready``, each within one of the ``roots``.

    Folders take the place of what lies in them, the deepest first, unless something in them is still ``waiting``.
    More than ``most`` are returned where these are in the way.
    """
    blocked = {folder for path in waiting for folder in _above(path)}
    chosen, fixed = _outermost(ready), set[bytes]()
    while len(chosen) + len(fixed) > most and chosen:
        depth = max(path.count(b"/") for path in chosen)
        for path in [path for path in chosen if path.count(b"/") == depth]:
            chosen.discard(path)
            folder = os.path.dirname(path)
            free = path not in roots and folder not in blocked and os.path.isdir(folder)
            (chosen if free else fixed).add(folder if free else path)
    return _outermost(chosen | fixed)


def _outermost(paths: Collection[bytes]) -> set[bytes]:
    """Those that do not lie in another one."""
    among = set(paths)
    return {path for path in among if not any(folder in among for folder in _above(path))}


def _above(path: bytes) -> Iterator[bytes]:
    """The folders that hold ``path``, the nearest first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder
