"""What every source of images offers: names and stats first, bytes only of what is wanted.

A run asks a source twice. ``scan`` looks at names and stats and opens no picture. Archives and tables are
*containers*: ``scan`` names them with the stat of their file, and ``expand`` opens those that have changed. ``load``
then reads one picture, in a decode thread. ``find`` leads from a place on record back to its picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.file_stat import UNKNOWN_STAT, FileStat
from imseek.types import ImageFacts, SkipReason

Scalar: TypeAlias = str | int | float | bool | None

#: Why a source cannot be scanned, where it is simply not there.
MISSING: Final = "it is missing"


@dataclass(frozen=True, slots=True)
class Found:
    """A picture, not opened yet: its path within the source and the stat that tells whether it may have changed.

    Inside a container the stat is that of the container's file. ``where`` is what its source needs to get at it
    directly, and means nothing to others. ``caption`` and ``extra`` are what the source itself says of the picture.
    """

    path: bytes
    stat: FileStat
    where: Any = None
    caption: str | None = None
    extra: Mapping[str, Scalar] | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """An archive or a table: its path within the source (empty where it is the source) and its stat.

    ``UNKNOWN_STAT`` stands for one that must be opened in every run, since what it names lies elsewhere.
    """

    path: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A file, a folder or a row that cannot be looked at."""

    path: bytes
    reason: SkipReason
    message: str
    stat: FileStat = UNKNOWN_STAT


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What another tool has computed: a unit row (dim,) float16, and facts of the picture, which is not opened;
    ``size`` is that of its file in bytes (0: not known)."""

    row: npt.NDArray[np.float16]
    facts: ImageFacts
    content_hash: bytes
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """One picture as it was read: its bytes, its stat then, and what its source says of it.

    ``caption`` goes before one in the picture itself. Where ``taken`` is given there are no bytes.
    """

    data: bytes
    stat: FileStat
    caption: str | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    taken: Taken | None = None


class Source(Protocol):
    """Where images come from. ``load`` is called in several threads at once, everything else in one.

    ``notes`` are lines for the user, complete once ``scan`` has ended. ``threads`` is how many threads are worth
    reading with, where that is more than decode: a picture on the web is waited for.
    """

    @property
    def notes(self) -> list[str]: ...

    @property
    def threads(self) -> int: ...

    def trouble(self) -> str | None:
        """Why the source cannot be scanned as a whole (``MISSING``, a disk that fails), or None."""
        ...

    def scan(self) -> Iterator[Found | Container | Unreachable]:
        """Names and stats, in an order that two scans of the same source share. No picture is opened."""
        ...

    def expand(self, container: Container) -> Iterator[Found | Unreachable]:
        """The pictures in a container. Raises MediaError where it cannot be read."""
        ...

    def load(self, found: Found) -> Content:
        """Raises MediaError with a reason, or OSError."""
        ...

    def portable(self, found: Found) -> Found | Content:
        """What ``load`` of the same source in another process takes, to be pickled; the picture itself where only this
        process gets at it. Raises as ``load``."""
        ...

    def find(self, path: bytes) -> Found:
        """The way to the picture at a path on record, for ``load``, without the texts beside it.

        Its stat says nothing (``UNKNOWN_STAT``), and so does that of what ``load`` then gives, unless that is a file of
        its own. Raises MediaError, UnsafePathError, OSError, and so does ``load``.
        """
        ...

    def is_gone(self, path: bytes) -> bool:
        """Whether a place or container that a scan did not come to is certainly not there any more."""
        ...

    def close(self) -> None:
        """Let go of open files and connections."""
        ...
