"""Structured content of tools' answers: results of the API, beside what only assistants are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from imseek.duplicates.results import DuplicateGroup
from imseek.types.duplicate_judgements import Judgement
from imseek.types.json_form import Count, Json, Printable
from imseek.types.pictures import Image

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ToolAnswer(Generic[Result]):
    """A result about one collection."""

    collection: Printable
    """The name that tools take."""
    result: Annotated[Result, Json(inline=True)]


@dataclass(frozen=True, slots=True)
class CollectionState:
    """A collection that tools can use; what is unknown is null."""

    name: Printable
    images: Count | None
    generation: Count | None
    """Number of its last change."""
    encoder: str | None
    has_captions: bool | None
    """Whether captions can be searched by their meaning (`by`: `caption`)."""
    problem: str | None
    """Why it cannot be used."""


@dataclass(frozen=True, slots=True)
class CollectionStates:
    """The collections that tools can use."""

    collections: tuple[CollectionState, ...]


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """An image; its thumbnail is in the content beside this."""

    image: Annotated[Image, Json(inline=True)]
    problem: Annotated[str | None, Json(omit_none=True)] = None
    """Why there is no thumbnail."""


@dataclass(frozen=True, slots=True)
class DuplicatesPage:
    """Groups of duplicates, some of all that were found."""

    generation: Count
    searched: Count
    """Number of images that were compared."""
    group_count: Count
    """Number of groups that were found, of which `groups` holds some."""
    surplus: Count
    """Number of images in all groups that may be removed. By default, plans leave out those that are less than 80 %
    sure."""
    bytes: Count
    """Total size of their files."""
    interrupted: bool
    """Whether the time was up before the end; the same call resumes."""
    notes: tuple[str, ...]
    groups: tuple[DuplicateGroup, ...]
    """By kind and then by reclaimable bytes, most first."""
    judgements: tuple[Judgement, ...]
    """What people decided about contents of these groups."""
    next_page: str | None
    """What `page` takes for the groups after these; null after the last, and while `interrupted`."""
