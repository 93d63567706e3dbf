"""What one commit changes, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.data.file_stat import FileStat


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to be stored: its place, its metadata row, and by space its unit vector (dim,) in float16.

    In the space of captions, where there is one, that is the vector of its caption, zeros where it has none.

    ``image_id`` is given when an image whose vector was lost comes back under its old id. ``replaces`` is the
    image that lay at this place before: its place ends, and its tags are carried over if the new one ``inherits``.
    """

    source_id: int
    path: bytes
    stat: FileStat
    content_hash: bytes
    metadata: dict[str, Any]
    vectors: Mapping[int, npt.NDArray[np.float16]]
    image_id: int | None = None
    replaces: int | None = None
    inherits: bool = True


@dataclass(frozen=True, slots=True)
class Placing:
    """A known image seen at a place: moved there (where ``replaces`` lay before), or there already, unchanged."""

    image_id: int
    source_id: int
    path: bytes
    stat: FileStat
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class FailedFile:
    source_id: int
    path: bytes
    stat: FileStat
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ReadContainer:
    """An archive or a table from which images come: read to the end with this stat, or (``UNKNOWN_STAT``) begun."""

    source_id: int
    path: bytes
    stat: FileStat


@dataclass(slots=True)
class Batch:
    """``gone`` are images that die, ``suspended`` those whose file cannot be decoded for now; ``cleared`` are
    recorded failures that no longer hold, ``containers`` those read, ``emptied`` those that are not there any more.

    All ``new`` images of a batch have vectors in the same spaces.
    An image whose place ends without a new one stays live but homeless until it is moved or among the ``gone``.
    """

    new: list[NewImage] = field(default_factory=list)
    moved: list[Placing] = field(default_factory=list)
    checked: list[Placing] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    suspended: list[int] = field(default_factory=list)
    failed: list[FailedFile] = field(default_factory=list)
    cleared: list[tuple[int, bytes]] = field(default_factory=list)
    containers: list[ReadContainer] = field(default_factory=list)
    emptied: list[tuple[int, bytes]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))
