"""Indexing runs: source options and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, with the reason. It is retried only when the file changes."""

    source_id: int
    path: bytes
    reason: str
    message: str


#: Where the content is already stored: in this collection, or in another one.
KnownReason: TypeAlias = Literal["known_here", "known_elsewhere"]


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """An image that was skipped on request (``skip_known``) because its content is already stored.

    ``collection`` is the folder of the collection that has it as ``image_id``; None: stored by this very run.
    ``content_hash`` is hexadecimal sha256. It is not a failure, and nothing is recorded about it.
    """

    source_id: int
    path: bytes
    content_hash: str
    reason: KnownReason
    collection: bytes
    image_id: int | None


@dataclass(frozen=True, slots=True)
class SpaceRun:
    """The encoder and precision used for one space in a run."""

    space_id: int
    encoder: str
    precision: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The result of one indexing run. All counts except ``seen`` cover completed commits.

    ``encoder`` and ``precision`` are those of the first of ``spaces``. ``known`` counts ``known_pictures``, which were
    skipped on request and are not counted in ``skipped``.
    """

    seen: int
    unchanged: int
    added: int
    changed: int
    moved: int
    copied: int
    removed: int
    skipped: int
    live: int
    bytes_read: int
    files_opened: int
    seconds: float
    generation: int
    encoder: str
    precision: str = "fp32"
    interrupted: bool = False
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    spaces: tuple[SpaceRun, ...] = ()
    known: int = 0
    known_pictures: tuple[KnownPicture, ...] = ()


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
