"""What one collection finds for one query, before it is put in order for the page that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.data.current_file import Current
from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.errors import QueryError
from imseek.search.backend import Allowed, Edition, Index, Stored
from imseek.search.candidate_metadata import StoredFacts, unit_rows
from imseek.search.page_tokens import Page, digest
from imseek.search.query import Query
from imseek.search.query_vectors import Composed
from imseek.search.rerank import POOL, Pool, looks_at_pool
from imseek.search.space_fusion import Part, best
from imseek.search.stable_order import APPROXIMATE
from imseek.types import Float32, SpaceInfo

#: The most that a token's four bytes hold.
_DEEPEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the ranking is wanted: ``limit`` hits or groups after ``offset``, and how deep the first page of
    the answer searched (:mod:`imseek.search.stable_order`)."""

    offset: int
    limit: int
    depth: int
    whole: bool

    @property
    def count(self) -> int:
        """How many of the ranking it takes; one more than are shown tells whether there is a next page.

        Not where that one would be the first to need an exact search.
        """
        if self.whole:
            return self.depth
        end = self.offset + self.limit
        return end if end == APPROXIMATE else end + 1

    @classmethod
    def of(cls, query: Query, page: Page | None) -> Window:
        whole = looks_at_pool(query)
        if page is not None:
            return cls(page.offset, query.limit, page.depth, whole)
        depth = max(POOL, query.limit) if whole else cls(0, query.limit, 0, whole=False).count
        return cls(0, query.limit, min(depth, _DEEPEST), whole)


def page_of(query: Query, uuids: list[str]) -> tuple[Page | None, bytes]:
    """The page that a query asks for, None for the first, and the query's digest. Raises QueryError."""
    expected = digest(query, uuids)
    return (None if query.page is None else Page.read(query.page, expected, len(uuids))), expected


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A query to one generation: what its spaces are asked, among which images (None: all), of how many there are."""

    query: Query
    window: Window
    edition: Edition[Stored]
    spaces: tuple[SpaceInfo, ...]
    indexes: tuple[Index, ...]
    composed: Composed
    allowed: Allowed | None
    total: int

    @property
    def reader(self) -> Stored:
        return self.edition.reader

    @property
    def words(self) -> bool:
        """Whether the query is words and nothing else."""
        query = self.query
        return all(term.text is not None for term in query.terms) and not query.more and not query.less

    @property
    def text(self) -> bool:
        """Whether words are compared with pictures, which lie apart from each other."""
        return self.query.by == "image" and self.words

    @property
    def across(self) -> bool:
        """How an approximate index is to be searched: as for words, unless all that is asked for is pictures.

        A vector may be of either kind, and what is right for words is right for pictures too, only slower.
        """
        return not all(term.shows for term in self.query.terms)

    @property
    def exact(self) -> bool:
        """Whether every search is exact: because the query says so, or because no index is otherwise."""
        return self.query.exact or all(index.exact for index in self.indexes)

    @property
    def count(self) -> int:
        return max(1, min(self.window.count, self.total))

    @property
    def first(self) -> tuple[int, bool]:
        """How many the ranking asks for first, and whether exactly (:func:`imseek.search.stable_order.ranked`)."""
        if self.exact or self.window.depth > APPROXIMATE:
            return self.count, True
        return self.window.depth, False

    @property
    def facts(self) -> StoredFacts:
        """Pictures are compared in the spaces that answer, also where it is their captions that do."""
        if self.query.by == "caption":
            return StoredFacts(self.reader, self.reader.current.image_spaces[:1], (1.0,))
        return StoredFacts(self.reader, self.spaces, self.composed.shares)

    def rows(self, ids: Ids) -> list[Float32]:
        """(m, dim) float32 unit rows of images in each space that answers."""
        return [unit_rows(self.reader, ids, space) for space in self.spaces]

    def search(self, k: int, exact: bool) -> Matches:
        triples = zip(self.indexes, self.composed.units, self.composed.shares, strict=True)
        return best([Part(*one, self.across) for one in triples], k, self.allowed, exact=exact)


@dataclass(frozen=True, slots=True, eq=False)
class Sifted:
    """The candidates of one collection that its stages have kept, best first.

    ``cut`` counts the images below the cutoff, None where there is none. ``beyond`` tells that there are images beyond
    the candidates; another page may show them, unless the stages look at the pool alone.
    """

    asked: Asked
    pool: Pool
    cut: int | None
    approximate: bool
    beyond: bool
    notes: tuple[str, ...]


def answering_spaces(current: Current, query: Query) -> tuple[SpaceInfo, ...]:
    """Those that answer a query. Raises QueryError where captions are asked for and not embedded."""
    if query.by == "caption":
        if current.caption_space is None:
            raise QueryError(
                "the captions of this collection are not embedded",
                hint="imseek maintain --captions embeds them",
            )
        return (current.caption_space,)
    spaces = current.image_spaces
    return spaces if any(term.shows for term in query.terms) else spaces[:1]
