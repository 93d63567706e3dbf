"""Results of writing tags, captions and ratings into sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.json_form import Count, FilePath

#: Why tags are not written: the picture is on the web, in an archive or table, or gone; the folder, or the file beside
#: it, cannot be written to; or that file is no XMP that can be edited, or has just been changed.
Refusal: TypeAlias = Literal["url", "archive", "missing", "read_only", "unreadable", "changed"]


@dataclass(frozen=True, slots=True)
class SidecarReport:
    """Tags, captions and ratings written into ``.xmp`` files beside pictures, or what would be."""

    images: Count
    """Images that people have given tags, a caption or a rating."""
    edited: Count
    """Files that were changed, or would be."""
    created: Count
    """Those among them that did not exist."""
    unchanged: Count
    """Files that have all of it already."""
    refused: Mapping[Refusal, Count]
    """Images of which nothing can be written, by reason."""
    applied: bool
    """Whether anything was written: false for a dry run."""
    undo_id: str | None = None
    """The id to undo this by, if a file was written."""


@dataclass(frozen=True, slots=True)
class SidecarUndo:
    """Files beside pictures put back as they were."""

    undo_id: str
    restored: Count
    """Files with their former content again, those that had it already included."""
    removed: Count
    """Files that did not exist before, and are gone."""
    left: tuple[FilePath, ...]
    """Files left alone: somebody has changed them since, or they cannot be written."""
