"""Indexing runs: source options and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from imseek.types.json_form import ContentHash, Count, FilePath, Seconds

#: Kinds of sources that are a folder with pictures in files.
FOLDER_KINDS: Final = ("folder", "imagefolder")


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, with the reason. It is retried only when the file changes."""

    source_id: Count
    path: FilePath
    reason: str
    """A stable code (:class:`imseek.types.pictures.SkipReason`)."""
    message: str


#: Where the content is already stored: in this collection, or in another one.
KnownReason: TypeAlias = Literal["known_here", "known_elsewhere"]


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """An image that was skipped on request (``skip_known``) because its content is already stored.

    It is not a failure, and nothing is recorded about it.
    """

    source_id: Count
    path: FilePath
    content_hash: ContentHash
    """Hexadecimal sha256 of the file."""
    reason: KnownReason
    """Whether this collection has the content, or another one."""
    collection: bytes
    """The folder of the collection that has the content."""
    image_id: Count | None
    """The image there that has this content; null: stored by this very run."""


@dataclass(frozen=True, slots=True)
class SpaceRun:
    """The encoder and precision used for one space in a run."""

    space_id: Count
    encoder: str
    precision: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The result of one indexing run. All counts except ``seen`` cover completed commits."""

    seen: Count
    unchanged: Count
    added: Count
    changed: Count
    moved: Count
    copied: Count
    removed: Count
    skipped: Count
    live: Count
    """Images in the collection now."""
    bytes_read: Count
    files_opened: Count
    seconds: Seconds
    generation: Count
    encoder: str
    """That of the first of ``spaces``."""
    precision: str = "fp32"
    """That of the first of ``spaces``."""
    interrupted: bool = False
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    spaces: tuple[SpaceRun, ...] = ()
    """What encoded new pictures, the first space first."""
    known: Count = 0
    """Number of ``known_pictures``, which do not count as ``skipped``."""
    known_pictures: tuple[KnownPicture, ...] = ()
    """Pictures that were skipped on request (``--skip-known``), because their content is stored already."""
    sidecars: Count = 0
    """Unchanged images whose sidecars have changed, and were read again."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read. The collection remembers the options; a later run with other options replaces them.

    ``kind`` is ``folder``, ``imagefolder``, ``archive``, ``table``, ``vectors`` or ``list``; None: detected from the
    path. ``include`` and ``exclude`` are globs over paths within the source; a pattern without a slash matches any
    single path component. ``hidden`` includes hidden files and folders of thumbnails and code (``@eaDir``,
    ``node_modules``). ``columns`` names the metadata columns to keep, or, each with a minus, those to drop.
    ``image_column`` and ``caption_column`` name columns of a table that are not recognised by name. ``allow_private``
    also fetches images from private network addresses. ``encoder`` names the origin of imported vectors where their
    file does not; ``vector_column`` is their column in a Parquet file.
    """

    kind: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    columns: tuple[str, ...] = ()
    image_column: str | None = None
    caption_column: str | None = None
    allow_private: bool = False
    encoder: str | None = None
    vector_column: str | None = None
