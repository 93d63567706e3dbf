"""Search results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from imseek.types.pictures import Float32, Place


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: an image and its score in [-1, 1].

    The score is the cosine to the query, or, in several spaces, the weighted mean of cosines (:class:`SpaceShare`).
    ``duplicates`` are ids of near-duplicates collapsed into this hit. ``group`` is the name of its group where hits are
    grouped. ``vector``, if requested, is (dim,) float32 of norm 1: the image's vector in the first space that answered,
    or that of its caption.
    """

    collection: str
    image_id: int
    score: float
    place: Place | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    duplicates: tuple[int, ...] = ()
    group: str | None = None
    vector: Float32 | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str | None:
        """The path for use with ``open()`` (surrogate escapes where the bytes are not UTF-8)."""
        return None if self.place is None else os.fsdecode(self.place.path)

    @property
    def uri(self) -> str | None:
        """The URI of the image, None where its place is unknown."""
        return None if self.place is None else self.place.uri


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits from one folder (its path), day (``2024-05-31``) or source (its path); ``name`` is None where it is unknown.

    ``hits`` are the first of them; ``size`` counts all among the candidates.
    """

    name: str | None
    size: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class SpaceShare:
    """A space that answered a query, with its weight in the score.

    The score is the weighted sum of cosines. Weights are positive and add up to 1.
    """

    space_id: int
    encoder: str
    weight: float


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that answered a query: its UUID, its generation, and how many images were compared."""

    collection: str
    generation: int
    images: int


#: Reads the bytes of an image by the UUID of its collection, its id, and a size in pixels. For a large image, a smaller
#: version whose longer side has that size may be returned. Raises ImseekError and OSError.
ReadPicture: TypeAlias = Callable[[str, int, int], bytes]


class Pictures(Protocol):
    """Access to the images of a search result, and its display in notebooks (docs/decisions/0023-showing.md).

    Implementations can be copied and pickled, like the result itself.
    """

    def opened(self) -> AbstractContextManager[ReadPicture]:
        """Open a reader that several threads may use until the context closes."""
        ...

    def html(self, result: SearchResult) -> str:
        """Render a grid for notebooks. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in the requested order (best first by default), all from one generation of a collection.

    ``searched`` counts the live images compared with the query. ``encoder`` is that of the first space. ``notes`` are
    lines to show to the user (a text cut into pieces, a basic encoder). ``spaces`` are those that answered.

    ``next_page`` is the token for ``Query.page``, None after the last hit. ``cut`` counts images removed by a cutoff,
    None without one. ``approximate`` is True where an approximate index chose the candidates; scores are exact either
    way. ``groups`` holds grouped hits. ``collections`` are those that answered; with several, ``generation`` is that of
    the first and ``searched`` covers all. ``pictures`` gives access to the images, None where it is unknown; a result
    that has it displays them in notebooks.
    """

    hits: tuple[Hit, ...]
    generation: int
    searched: int
    encoder: str
    notes: tuple[str, ...] = ()
    spaces: tuple[SpaceShare, ...] = ()
    next_page: str | None = None
    cut: int | None = None
    approximate: bool = False
    groups: tuple[HitGroup, ...] = ()
    collections: tuple[Searched, ...] = ()
    pictures: Pictures | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Any:
        return iter(self.hits)

    def __getitem__(self, i: int) -> Hit:
        return self.hits[i]

    def _repr_html_(self) -> str | None:
        return None if self.pictures is None else self.pictures.html(self)
