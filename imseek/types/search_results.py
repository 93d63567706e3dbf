"""Search results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias

from imseek.types.arrays import Float32
from imseek.types.json_form import Cosine, Count, Json, Printable, Score, Share, json_member
from imseek.types.pictures import ImagePlace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Where a query matched an image: by what it shows, in the names of its file and folders, in its captions, its
#: keywords, or in text that it shows; or the reranker that looked at it.
MatchField: TypeAlias = Literal["picture", "name", "caption", "keyword", "text", "reranker"]


@dataclass(frozen=True, slots=True)
class Match:
    """One reason why an image is a hit."""

    field: MatchField
    words: tuple[Printable, ...] = ()
    """The words of the image that match, as they are written there (as in the query, if metadata is not read); a folder
    ends with a slash. For a reranker, its name."""
    excerpt: Annotated[Printable | None, Json(omit_none=True)] = None
    """The passage of a caption or text around the matching words, or the beginning of a caption that has none."""
    score: Annotated[Score | None, Json(omit_none=True)] = None
    """The cosine between the query and the picture, or a caption with a similar vector. For a reranker, its score, on a
    scale of its own."""


def describe_matches(matches: Sequence[Match]) -> str:
    """Say why an image is a hit, for people; empty if no words match. The words may contain anything."""
    if all(match.field == "picture" for match in matches):
        return ""
    return " · ".join(map(_describe_match, matches))


def _describe_match(match: Match) -> str:
    score = [] if match.score is None else [f"{match.score:.2f}"]
    if match.field == "reranker":
        return " ".join([match.field, *match.words, *score])
    shown = ", ".join(match.words) if match.excerpt is None else f'"{match.excerpt}"'
    return " ".join([match.field, *score, *([shown] if shown else [])])


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: an image and its score."""

    collection: str
    """UUID of the collection."""
    image_id: Count
    score: Cosine
    """The cosine to the query; in several spaces, the mean of the cosines by their weights. With ``--by text``, the
    share of the query's words that the image has, by their rarity."""
    place: ImagePlace
    metadata: Mapping[str, Any] = field(default_factory=dict)
    duplicates: tuple[Count, ...] = ()
    """With ``--collapse``: ids of the near-duplicates that this image stands for."""
    group: Annotated[str | None, Json(hidden=True)] = None
    """Name of its group, where hits are grouped."""
    vector: Annotated[Float32 | None, Json(digits=8, minimum=-1, maximum=1, omit_none=True)] = field(
        default=None, compare=False, repr=False
    )
    """With ``--vectors``: float32 (dim,) of norm 1, the image's in the first space that answered, or its caption's."""
    matches: tuple[Match, ...] = ()
    """Why it is a hit: the reranker that looked at it, if any; and if words match any image, its picture if that stands
    out, and each place of words."""

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
    """Hits from one folder, day or source."""

    name: str | None
    """Path of the folder or source, or the day (``2024-05-31``); null where it is unknown."""
    size: Annotated[int, Json(minimum=1)]
    """Number of hits that it has among the candidates."""
    hits: Annotated[tuple[Hit, ...], Json(hidden=True)]
    """The first of them."""

    @property
    @json_member(Json(name="hits", minimum=1))
    def shown(self) -> int:
        """Number of its hits that are shown."""
        return len(self.hits)


@dataclass(frozen=True, slots=True)
class SpaceShare:
    """A space that answered a query."""

    space_id: Count
    encoder: str
    weight: Share
    """The weight of its cosine in the score, a weighted sum of cosines. Weights are positive and add up to 1."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that answered a query."""

    collection: Annotated[str, Json(name="uuid")]
    generation: Count
    images: Annotated[Count, Json(name="searched")]
    """Number of images that were compared with the query."""


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
    """Hits in the requested order (best first by default), all from one generation of each collection."""

    hits: tuple[Hit, ...]
    generation: Count
    """That of the first collection."""
    searched: Count
    """Number of live images, of all collections, that were compared with the query."""
    encoder: str
    """That of the first space."""
    notes: tuple[str, ...] = ()
    """Lines to show to the user: a text was cut into pieces, an encoder is a basic one."""
    spaces: tuple[SpaceShare, ...] = ()
    """Those that answered."""
    next_page: str | None = None
    """What ``--page`` (``Query.page``) takes for the hits after these; null after the last."""
    cut: Count | None = None
    """Number of images that the cutoff removed; null without one."""
    lost: Annotated[Share | None, Json(omit_none=True)] = None
    """Share of the relevant images that the cutoff is estimated to have removed, in the mean over queries like those by
    which the collection was calibrated (`imseek evaluate cutoff`); left out without a calibration, and of an empty
    list."""
    approximate: bool = False
    """Whether an approximate index chose the candidates. Scores are exact all the same."""
    groups: tuple[HitGroup, ...] = ()
    """With ``--group-by``: the groups of ``hits``, which come one group after the other."""
    collections: Annotated[tuple[Searched, ...], Json(hidden=True)] = ()
    """Those that answered."""
    pictures: Annotated[Pictures | None, Json(hidden=True)] = field(default=None, compare=False, repr=False)
    """Access to the images, None where it is unknown; a result that has it displays them in notebooks."""

    @property
    @json_member(Json())
    def nothing(self) -> bool:
        """Whether the cutoff removed all images: nothing here shows what was searched for."""
        return self.cut is not None and self.cut == self.searched > 0

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Any:
        return iter(self.hits)

    def __getitem__(self, i: int) -> Hit:
        return self.hits[i]

    def to_arrow(self) -> pa.Table:
        """Return one row for each hit: its ``collection``, ``image_id``, ``score``, place and metadata.

        ``path_b64`` has paths that are not UTF-8. There are columns for ``group`` and ``duplicates`` if hits have any,
        and for ``vector``, lists of float32, if the search was asked for vectors. Metadata of such a name become
        ``extra_…``; hashes are hexadecimal.
        """
        from imseek.types.result_table import result_table

        return result_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return :meth:`to_arrow` as a data frame of pandas. Raises ModuleNotFoundError where that is not installed."""
        return self.to_arrow().to_pandas()

    def _repr_html_(self) -> str | None:
        return None if self.pictures is None else self.pictures.html(self)
