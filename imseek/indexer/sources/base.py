"""The protocol of image sources: names and stats first, bytes only on demand.

A run asks a source twice. ``scan`` looks at names and stats and opens no picture. Archives and tables are *containers*:
``scan`` yields them with the stat of their file, and ``expand`` opens those that have changed. ``load`` then reads one
picture, in a decode thread. ``find`` leads from a recorded place back to its picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.media.annotation_values import Annotations
from imseek.types.pictures import ImageFacts, SkipReason

Scalar: TypeAlias = str | int | float | bool | None

#: Value of ``Source.trouble`` for a source that does not exist.
MISSING: Final = "it is missing"


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A picture, not opened yet: its path within the source and the stat that tells whether it may have changed.

    Inside a container the stat is that of the container's file. ``where`` helps its source to locate it and is opaque
    to others. ``caption`` and ``extra`` are the source's own metadata on the picture. ``sidecars`` are the paths of the
    files beside it, ``sidecar_stat`` identifies their state.
    """

    path: bytes
    stat: FileStat
    where: Any = None
    caption: str | None = None
    extra: Mapping[str, Scalar] | None = None
    sidecars: tuple[bytes, ...] = ()
    sidecar_stat: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """An archive or table: its path within the source (empty where it is the source itself) and its stat.

    ``UNKNOWN_STAT`` marks one to open in every run, since the files it names lie elsewhere.
    """

    path: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class UnreachableEntry:
    """A file, folder or row that cannot be examined, and why."""

    path: bytes
    reason: SkipReason
    message: str
    stat: FileStat = UNKNOWN_STAT


@dataclass(frozen=True, slots=True, eq=False)
class ImportedVector:
    """An imported vector: a unit row (dim,) float16 from another tool, with facts of the picture, which is not opened.

    ``size`` is that of its file in bytes (0: unknown).
    """

    row: npt.NDArray[np.float16]
    facts: ImageFacts
    content_hash: bytes
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A picture as read: its bytes, its stat at that time, and its source's metadata.

    ``caption`` takes precedence over one in the picture itself. ``beside`` are annotations from files beside the
    picture, except those that the source states itself; ``sidecar_stat`` identifies the state of these files, to be
    recorded. With ``taken`` there are no bytes.
    """

    data: bytes
    stat: FileStat
    caption: str | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    taken: ImportedVector | None = None
    beside: Annotations = field(default_factory=Annotations)
    sidecar_stat: str = ""


@dataclass(frozen=True, slots=True)
class SidecarContent:
    """Annotations from files beside a picture, and what identifies the state of these files, to be recorded."""

    beside: Annotations
    sidecar_stat: str


class Source(Protocol):
    """A source of images. ``load`` may run in several threads at once, every other method in one.

    ``notes`` are lines for the user, complete once ``scan`` has ended. ``threads`` is the useful number of reading
    threads if it exceeds that of decoding threads, as for pictures on the web.
    """

    @property
    def notes(self) -> list[str]: ...

    @property
    def threads(self) -> int: ...

    def trouble(self) -> str | None:
        """Return why the source as a whole cannot be scanned (``MISSING``, a failing disk), or None."""
        ...

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        """Yield names and stats, in the same order in every scan of an unchanged source. Opens no picture."""
        ...

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        """Yield the pictures in a container. Raises MediaError where it cannot be read."""
        ...

    def load(self, image: FoundImage) -> Content:
        """Read a picture. Raises MediaError with a reason, or OSError."""
        ...

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        """Read the files beside a picture as :meth:`load` does, without the picture. Never raises.

        Only for pictures that have a stat of their own: members of archives and rows of tables are read as a whole.
        """
        ...

    def portable(self, image: FoundImage) -> FoundImage | Content:
        """Return a picklable argument for ``load`` in another process.

        Returns the content itself where only this process can read it. Raises as ``load``.
        """
        ...

    def find(self, path: bytes) -> FoundImage:
        """Locate the picture at a recorded path for ``load``, without the texts beside it.

        Its stat is ``UNKNOWN_STAT``, and so is that of the loaded content unless it is a file of its own. Raises
        MediaError, UnsafePathError, OSError, and so does ``load``.
        """
        ...

    def is_gone(self, path: bytes) -> bool:
        """Tell whether a place or container that a scan did not reach has certainly disappeared."""
        ...

    def close(self) -> None:
        """Close open files and connections."""
        ...
