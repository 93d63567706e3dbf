"""Options and reports of exports to other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import Count, Json, json_member
from imseek.types.pictures import Place

#: In a class that has a field ``bytes``, that name is no type.
PathBytes: TypeAlias = bytes


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
    """An image that could not be read for an export."""

    image_id: Count
    place: Annotated[Place | None, Json(hidden=True)]
    """None where there is none."""
    reason: str
    """A code of :class:`SkipReason`, ``content_changed`` (its place holds another image now) or ``no_place``."""
    message: str
    """The reason in words."""

    @property
    @json_member()
    def path(self) -> Annotated[bytes | None, Json(inline=True, omit_none=True)]:
        """The path of its place."""
        return None if self.place is None else self.place.path


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of an export."""

    collection: Annotated[str, Json(hidden=True)]
    """UUID of the collection."""
    generation: Count
    """The generation that was exported."""
    format: str
    """Its name (docs/exports.md), or that of a plugin."""
    target: PathBytes
    """The file or folder; ``-`` for a stream."""
    images: Count
    """Images in the export. Those of ``skipped`` are not counted, except for ``projector``, where they remain as points
    without an image."""
    files: Count
    """Number of files that were written."""
    bytes: Count
    """Total size of the files."""
    linked: Count = 0
    """Files that are hard links to the collection's own."""
    encoder: str | None = None
    """The encoder that made the vectors, if the format has any."""
    skipped: tuple[SkippedPicture, ...] = ()
    """Images that could not be read, in formats that hold images."""
    notes: tuple[str, ...] = ()
