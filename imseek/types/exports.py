"""What has gone out of a collection, for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.pictures import Place

ExportFormat: TypeAlias = Literal[
    "clip-retrieval", "csv", "faiss", "fiftyone", "imagefolder", "jsonl", "parquet", "projector", "webdataset"
]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a single format can be told; what the format does not know has to stay at its default.

    - ``spreadsheet`` (csv): texts that a spreadsheet would run as a formula get an apostrophe before them.
    - ``copy`` (clip-retrieval): files of vectors are copied, and never the collection's own under a second name.
    - ``half`` (faiss): rows of float16, at half the size; scores are then off by up to 0.001.
    - ``link`` (fiftyone, imagefolder): pictures that are files are linked to, ``"hard"`` or ``"symbolic"``.
    - ``classes`` (imagefolder): a folder for each value of this column, or of ``"tags"``.
    - ``shard_images``, ``shard_size`` (webdataset): the most pictures in a tar, and its bytes.
    - ``ending`` (webdataset): how the names of all pictures end, whatever they hold, such as ``"jpg"``.
    """

    spreadsheet: bool = False
    copy: bool = False
    half: bool = False
    link: Literal["hard", "symbolic"] | None = None
    classes: str | None = None
    shard_images: int | None = None
    shard_size: int | None = None
    ending: str | None = None


@dataclass(frozen=True, slots=True)
class SkippedPicture:
    """An image whose picture could not be had for an export, and why. ``reason`` is a code of :class:`SkipReason`,
    ``content_changed`` (its place holds another picture now) or ``no_place``; ``place`` is None where it has none."""

    image_id: int
    place: Place | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """``images`` of ``generation`` went out to ``target`` (a path of bytes; ``-`` for a stream), in so many ``files``
    of so many ``bytes``, of which ``linked`` are the collection's own under a second name. ``encoder`` made the
    vectors, where the format has any. ``skipped`` are pictures that could not be read, for formats that hold
    pictures; they are not among ``images``, but for those of ``projector``: these are points without a picture."""

    collection: str
    generation: int
    format: ExportFormat
    target: bytes
    images: int
    files: int
    bytes: int
    linked: int = 0
    encoder: str | None = None
    skipped: tuple[SkippedPicture, ...] = ()
    notes: tuple[str, ...] = ()
