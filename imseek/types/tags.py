"""Tags of images, and reports of changes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imseek.types.json_form import Count, Printable, json_member


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of an image."""

    tag: str
    provenance: str
    """Who gave it: ``person``, ``probe NAME``, or what was stated."""


@dataclass(frozen=True, slots=True)
class TagCount:
    """Number of searchable images with a tag."""

    tag: str
    images: Count
    by: Mapping[str, Count]
    """Number of images by provenance."""


@dataclass(frozen=True, slots=True)
class TagReport:
    """The result of changing tags."""

    named: Count
    """Pairs of image and tag in the request."""
    changed: Count
    """Pairs that were added, confirmed (by a person, where something else had given the tag) or removed."""
    generation: Count
    missing: tuple[Printable, ...] = field(default=())
    """Ids and paths that match no live image."""

    @property
    @json_member()
    def unchanged(self) -> Count:
        """Pairs that needed no change."""
        return self.named - self.changed
