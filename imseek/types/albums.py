"""Albums, and reports of changes to them."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.json_form import Count


@dataclass(frozen=True, slots=True)
class AlbumInfo:
    """An album: a tag with a cover and an order."""

    name: str
    """The name, which is that of the tag."""
    images: Count
    """Number of searchable images."""
    cover: Count | None
    """Id of the image that stands for the album: a chosen one, else the first; null for an empty album."""


@dataclass(frozen=True, slots=True)
class Album:
    """An album with its images."""

    name: str
    cover: Count | None
    """Id of the image that stands for the album; null for an empty album."""
    image_ids: tuple[Count, ...]
    """Ids of the searchable images, in the order of the album."""


@dataclass(frozen=True, slots=True)
class AlbumReport:
    """The result of changing an album."""

    name: str
    images: Count
    """Number of images in it now."""
    changed: Count
    """Number of images that got or lost the tag."""
    generation: Count
