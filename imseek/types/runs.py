"""Runs: how sources are read, how far a run is, and what it did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, and why. Tried again only when the file changes."""

    source_id: int
    path: bytes
    reason: str
    message: str


#: Where the content of a picture is stored already: in the collection itself, or in another one.
KnownReason: TypeAlias = Literal["known_here", "known_elsewhere"]


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A picture that was passed over, as asked (``skip_known``), since its content is stored already.

    ``collection`` is the folder of the collection that has it, as ``image_id``; None: stored by this very run.
    ``content_hash`` is hexadecimal sha256. It is no failure, and nothing of it is recorded.
    """

    source_id: int
    path: bytes
    content_hash: str
    reason: KnownReason
    collection: bytes
    image_id: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run. ``total`` is None until the scan has ended, and while archives are yet to be opened; only
    committed images are ``done``. ``bytes`` were read of their files, and ``seconds`` have passed."""

    phase: str
    done: int
    total: int | None
    skipped: int
    seconds: float
    bytes: int = 0


ProgressCallback: TypeAlias = Callable[[Progress], None]


class StopRequest(threading.Event):
    """Set, it asks a run to end after a clean flush. ``exit_code`` is what its process will end with, for the record
    of the run: 130 (SIGINT) or 143 (SIGTERM)."""

    exit_code: int = 130


@dataclass(frozen=True, slots=True)
class SpaceRun:
    """What encoded the pictures of one run for a space, and in which precision."""

    space_id: int
    encoder: str
    precision: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one run did. Every count but ``seen`` is of commits that returned.

    ``encoder`` and ``precision`` are those of the first of ``spaces``. ``known`` counts ``known_pictures``, which were
    passed over as asked, and are not among ``skipped``.
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
    """How a source is read. A collection remembers it, and a later run that names other options replaces it.

    ``kind`` is ``folder``, ``imagefolder``, ``archive``, ``table``, ``vectors`` or ``list``; None: told from the path.
    ``include`` and ``exclude`` are globs over paths within the source; a pattern without a slash is compared with each
    name of a path. ``hidden`` takes hidden files too, and folders of thumbnails and code (``@eaDir``,
    ``node_modules``). ``columns`` names the metadata columns to keep, or, with a minus before each, to drop.
    ``image_column`` and ``caption_column`` name those of a table where its usual names do not tell. ``allow_private``
    fetches pictures from addresses of the local network too. ``encoder`` says what made vectors that are taken over,
    and must be named where their file does not; ``vector_column`` is where a Parquet file has them.
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
