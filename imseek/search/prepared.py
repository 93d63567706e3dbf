"""A query prepared for one collection, and the candidates that the collection returns for it."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.data.current_file import Current
from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.errors import QueryError
from imseek.search.backend import AllowedImages, Generation, GenerationReader, Index
from imseek.search.candidate_metadata import StoredCandidateMetadata, unit_rows
from imseek.search.page_tokens import Page, digest
from imseek.search.query import Query
from imseek.search.query_vectors import QueryVectors
from imseek.search.rerank import MAX_CANDIDATES, CandidateSet, needs_all_candidates
from imseek.search.space_fusion import SpaceQuery, search_spaces
from imseek.search.stable_order import APPROXIMATE_DEPTH
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: The largest depth that fits into the four bytes of a token.
_DEEPEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the ranking that a page needs: ``limit`` hits or groups after ``offset``.

    ``depth`` is how deep the first page searched (:mod:`imseek.search.stable_order`); ``whole`` is True if the stages
    need all candidates at once.
    """

    offset: int
    limit: int
    depth: int
    whole: bool

    @property
    def count(self) -> int:
        """The number of ranks to fetch: one more than shown, to know whether a next page exists.

        Not one more if that rank would be the first to require an exact search.
        """
        if self.whole:
            return self.depth
        end = self.offset + self.limit
        return end if end == APPROXIMATE_DEPTH else end + 1

    @classmethod
    def of(cls, query: Query, page: Page | None) -> Window:
        """Return the window of a query: of its page, or of its first page if ``page`` is None."""
        whole = needs_all_candidates(query)
        if page is not None:
            return cls(page.offset, query.limit, page.depth, whole)
        depth = max(MAX_CANDIDATES, query.limit) if whole else cls(0, query.limit, 0, whole=False).count
        return cls(0, query.limit, min(depth, _DEEPEST), whole)


def page_of(query: Query, uuids: list[str]) -> tuple[Page | None, bytes]:
    """Return the query's page (None for the first) and its digest. Raises QueryError for an invalid token."""
    expected = digest(query, uuids)
    return (None if query.page is None else Page.read(query.page, expected, len(uuids))), expected


@dataclass(frozen=True, slots=True, eq=False)
class PreparedQuery:
    """A query prepared for one generation: the spaces and indexes to search and the query's vector in each.

    ``allowed`` restricts the search to some images (None: all); ``total`` is the number of images that can be found.
    """

    query: Query
    window: Window
    edition: Generation[GenerationReader]
    spaces: tuple[SpaceInfo, ...]
    indexes: tuple[Index, ...]
    composed: QueryVectors
    allowed: AllowedImages | None
    total: int

    @property
    def reader(self) -> GenerationReader:
        return self.edition.reader

    @property
    def words(self) -> bool:
        """Whether the query consists of text only."""
        query = self.query
        return all(term.text is not None for term in query.terms) and not query.more and not query.less

    @property
    def text(self) -> bool:
        """Whether text is compared with pictures; the two form separate clusters in the space."""
        return self.query.by == "image" and self.words

    @property
    def across(self) -> bool:
        """Whether an approximate index must search as for text, which is the case unless all terms are pictures.

        A vector may come from either modality; the parameters for text also suit pictures, but are slower.
        """
        return not all(term.shows for term in self.query.terms)

    @property
    def exact(self) -> bool:
        """Whether every search is exact: because the query requires it, or because all indexes are exact."""
        return self.query.exact or all(index.exact for index in self.indexes)

    @property
    def count(self) -> int:
        """The number of ranks to fetch, at least 1 and at most ``total``."""
        return max(1, min(self.window.count, self.total))

    @property
    def first(self) -> tuple[int, bool]:
        """Depth of the first search, and whether it is exact (:func:`imseek.search.stable_order.rank_images`)."""
        if self.exact or self.window.depth > APPROXIMATE_DEPTH:
            return self.count, True
        return self.window.depth, False

    @property
    def facts(self) -> StoredCandidateMetadata:
        """Metadata of the candidates. Images are compared in image spaces, even if the query searches captions."""
        if self.query.by == "caption":
            return StoredCandidateMetadata(self.reader, self.reader.current.image_spaces[:1], (1.0,))
        return StoredCandidateMetadata(self.reader, self.spaces, self.composed.shares)

    def rows(self, ids: Ids) -> list[Float32]:
        """Return the (m, dim) float32 unit rows of images in each searched space."""
        return [unit_rows(self.reader, ids, space) for space in self.spaces]

    def search(self, k: int, exact: bool) -> Matches:
        """Return the best ``k`` images, combined over all searched spaces."""
        triples = zip(self.indexes, self.composed.units, self.composed.shares, strict=True)
        return search_spaces([SpaceQuery(*one, self.across) for one in triples], k, self.allowed, exact=exact)


@dataclass(frozen=True, slots=True, eq=False)
class RankedCandidates:
    """The candidates of one collection after its stages, best first.

    ``cut`` is the number of images below the cutoff (None: no cutoff). ``beyond`` is True if more images follow the
    candidates; another page may show them, unless the stages use only the candidates.
    """

    asked: PreparedQuery
    pool: CandidateSet
    cut: int | None
    approximate: bool
    beyond: bool
    notes: tuple[str, ...]


def answering_spaces(current: Current, query: Query) -> tuple[SpaceInfo, ...]:
    """Return the spaces that a query searches. Raises QueryError if it searches captions and they are not embedded."""
    if query.by == "caption":
        if current.caption_space is None:
            raise QueryError(
                "the captions of this collection are not embedded",
                hint="imseek maintain --captions embeds them",
            )
        return (current.caption_space,)
    spaces = current.image_spaces
    return spaces if any(term.shows for term in query.terms) else spaces[:1]
