"""The changes of one commit, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.data.user_files.file_stat import FileStat


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to store: its place, its metadata row, and by space its unit vector (dim,) in float16.

    In the caption space, if there is one, that is the vector of its caption, or zeros without a caption.

    ``image_id`` is set when an image whose vector was lost returns under its old id. ``replaces`` is the image formerly
    at this place: its place ends, and its tags are carried over if the new one ``inherits``.

    ``sidecar`` are the values from files beside the picture; ``metadata`` includes them, ``row`` is the metadata
    without, where it differs. ``sidecar_stat`` identifies the state of these files.
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
    row: dict[str, Any] | None = None
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    sidecar_stat: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """A known image found at a place: moved there (where ``replaces`` was before), or unchanged."""

    image_id: int
    source_id: int
    path: bytes
    stat: FileStat
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class SidecarValues:
    """The values from files beside a stored image, and what identifies the state of these files."""

    values: Mapping[str, Any]
    stat: str


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file, folder or row that is not indexed, and why. ``full`` is its full path, for reports; it is not stored."""

    source_id: int
    path: bytes
    stat: FileStat
    reason: str
    message: str
    full: bytes = b""


@dataclass(frozen=True, slots=True)
class ScannedContainer:
    """An archive or table that holds images. ``stat`` is set if it was read to the end, else ``UNKNOWN_STAT``."""

    source_id: int
    path: bytes
    stat: FileStat


@dataclass(slots=True)
class Changeset:
    """All changes of one commit.

    ``gone`` are images that die, ``suspended`` those whose file cannot currently be decoded, ``cleared`` recorded
    failures that no longer hold, ``containers`` those read, ``emptied`` those that no longer exist. ``sidecars`` say
    by id what lies beside images that are stored already, and replace what was known of it. Where they are missing for
    a moved image, the next run reads the files beside it.

    All ``new`` images have vectors in the same spaces. An image whose place ends without a new one stays live without a
    place until it is moved or listed in ``gone``.
    """

    new: list[NewImage] = field(default_factory=list)
    moved: list[Placement] = field(default_factory=list)
    checked: list[Placement] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    suspended: list[int] = field(default_factory=list)
    failed: list[FailedFile] = field(default_factory=list)
    cleared: list[tuple[int, bytes]] = field(default_factory=list)
    containers: list[ScannedContainer] = field(default_factory=list)
    emptied: list[tuple[int, bytes]] = field(default_factory=list)
    sidecars: dict[int, SidecarValues] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))
