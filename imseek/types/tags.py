"""Tags of images, and reports of changes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag; ``provenance`` says who gave it: ``person``, ``probe NAME``, or what was stated."""

    tag: str
    provenance: str


@dataclass(frozen=True, slots=True)
class TagCount:
    """Number of searchable images with a tag; ``by`` splits it by provenance."""

    tag: str
    images: int
    by: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TagReport:
    """The result of changing tags.

    Of ``named`` pairs of image and tag, ``changed`` were added, confirmed (by a person, where something else had given
    the tag) or removed; the rest needed no change. ``missing`` are ids and paths that match no live image.
    """

    named: int
    changed: int
    generation: int
    missing: tuple[str, ...] = field(default=())

    @property
    def unchanged(self) -> int:
        """Number of pairs that needed no change."""
        return self.named - self.changed
