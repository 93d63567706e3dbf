"""Options and reports of exports to other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.pictures import Place

ExportFormat: TypeAlias = Literal[
    "clip-retrieval", "csv", "faiss", "fiftyone", "imagefolder", "jsonl", "parquet", "projector", "webdataset"
]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of single export formats; options that a format does not support must keep their default.

    - ``spreadsheet`` (csv): put an apostrophe before text that a spreadsheet would run as a formula.
    - ``copy`` (clip-retrieval): copy files of vectors instead of hard-linking the collection's own.
    - ``half`` (faiss): store float16, at half the size; scores are then off by up to 0.001.
    - ``link`` (fiftyone, imagefolder): link to image files, ``"hard"`` or ``"symbolic"``.
    - ``classes`` (imagefolder): one folder for each value of this column, or of ``"tags"``.
    - ``shard_images``, ``shard_size`` (webdataset): maximum images and bytes of a tar.
    - ``ending`` (webdataset): file extension for all images regardless of content, such as ``"jpg"``.
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
    """An image that could not be read for an export.

    ``reason`` is a code of :class:`SkipReason`, ``content_changed`` (its place holds another image now) or
    ``no_place``; ``place`` is None where there is none.
    """

    image_id: int
    place: Place | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of an export.

    ``images`` of ``generation`` were written to ``target`` (a path of bytes; ``-`` for a stream), in ``files`` files of
    ``bytes`` bytes in total; ``linked`` files are hard links to the collection's own. ``encoder`` made the vectors, if
    the format has any. ``skipped`` images could not be read, in formats that hold images. They are not counted in
    ``images``, except for ``projector``, where they remain as points without an image.
    """

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
