"""What a search answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from imseek.types.pictures import Float32, Place


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer to a query: the image, and its score in [-1, 1]: its cosine to the query, or in several spaces
    their weighted mean (:class:`SpaceShare`).

    ``duplicates`` are the ids of the images that it stands for, where near-duplicates are collapsed, and ``group`` the
    name of its group, where hits are grouped. ``vector``, where it is asked for, is (dim,) float32 of norm 1: what the
    first space that answered has of the image, or of its caption.
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
        return None if self.place is None else self.place.uri


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits of one folder (its path), day (``2024-05-31``) or source (its path); ``name`` is None where it is not known.

    ``hits`` are the first of them, ``size`` is how many there are among the candidates.
    """

    name: str | None
    size: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class SpaceShare:
    """A space that answered a query. A score is the sum of the cosines in these, each times its ``weight``.

    Weights are positive and add up to 1.
    """

    space_id: int
    encoder: str
    weight: float


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that answered a query: its UUID, of which generation, and how many images were compared."""

    collection: str
    generation: int
    images: int


#: The bytes of a picture, by the UUID of its collection and its id; where it is large, they may be those of a smaller
#: one whose longer side has the pixels that are told. Raises ImseekError and OSError.
ReadPicture: TypeAlias = Callable[[str, int, int], bytes]


class Pictures(Protocol):
    """Where the pictures of an answer can be read, and how it shows itself with them (docs/decisions/0023-showing.md).

    What has this can be copied and pickled, as the answer itself.
    """

    def opened(self) -> AbstractContextManager[ReadPicture]:
        """For several threads, as long as the context is open."""
        ...

    def html(self, result: SearchResult) -> str:
        """A grid for notebooks. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in the order asked for (best first, unless that is another), all of one generation of a collection.

    ``searched`` counts the live images that the query was compared with; ``encoder`` is that of the first space;
    ``notes`` are lines that a user should see (a text cut into pieces, an encoder that is only basic); ``spaces`` are
    those that answered.

    ``next_page`` is the token that ``Query.page`` takes for the hits after these, None where there are none. ``cut``
    says how many images a cutoff has left out, None where none was asked for. ``approximate`` tells that an
    approximate index chose the candidates; scores are exact all the same. ``groups`` are the hits as they were
    grouped. ``collections`` are those that answered; where there are several, ``generation`` is that of the first, and
    ``searched`` counts the images of all. ``pictures`` tells where the pictures are, None where that is not known; in
    a notebook, an answer that knows shows them.
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
