"""Tags of images, and what changing them came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tag:
    """``provenance`` says who gave it: ``person``, ``probe NAME``, or what was stated."""

    tag: str
    provenance: str


@dataclass(frozen=True, slots=True)
class TagCount:
    """How many images that can be found have a tag; ``by`` says from where, by provenance."""

    tag: str
    images: int
    by: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TagReport:
    """``named`` pairs of image and tag were asked for, ``changed`` of them were given, confirmed (by a person, where
    something else had given the tag), or taken away; the others were so already. ``missing`` are the ids and paths that
    no live image has."""

    named: int
    changed: int
    generation: int
    missing: tuple[str, ...] = field(default=())

    @property
    def unchanged(self) -> int:
        return self.named - self.changed
