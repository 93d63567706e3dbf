"""Search engine: encode the terms of a query, search the vector indexes, re-rank the candidates and build result pages.

``query_vectors`` encodes the terms, ``stable_order`` and ``space_fusion`` search the indexes for candidates,
``rerank`` filters and orders them, ``result_pages`` looks up what hits carry. ``generations`` chooses the generation
to search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import top_k
from imseek.encoders.base import Encoder
from imseek.search.backend import AllowedImages, Generation, GenerationCache, GenerationReader, StoredT
from imseek.search.calibration import CalibrationSamples
from imseek.search.generations import GenerationCache as FolderEditions
from imseek.search.generations import retry_if_stale
from imseek.search.prepared import PreparedQuery, RankedCandidates, Window, answering_spaces, page_of
from imseek.search.query import Query
from imseek.search.query_options import By
from imseek.search.query_vectors import EncoderSource, QueryEncoder, QueryVectors
from imseek.search.rerank import CandidateSet, check_query, run_collection_stages
from imseek.search.result_pages import HitOptions, build_result
from imseek.search.score_images import score_images
from imseek.search.space_fusion import search_batch
from imseek.search.stable_order import rank_images
from imseek.search.where import Filters
from imseek.types.arrays import Float32
from imseek.types.search_results import SearchResult

T = TypeVar("T")

_DEFAULT_HITS = HitOptions()
#: The number of conditions per generation whose ids are cached.
_MAX_CACHED_FILTERS = 16


class BaseEngine(ABC, Generic[StoredT]):
    """Searches one collection in any backend. Thread-safe.

    Each search answers from one generation; a newer one is picked up between searches.
    """

    def __init__(self, editions: GenerationCache[StoredT], encoder: EncoderSource) -> None:
        self._composer = QueryEncoder(encoder)
        self._references = CalibrationSamples(self._composer)
        self._editions = editions

    @abstractmethod
    def _where(self, reader: StoredT, where: str) -> AllowedImages:
        """Return the images that satisfy the condition. Raises QueryError."""

    @property
    def reader(self) -> StoredT:
        """The reader of the newest generation."""
        return self._editions.newest().reader

    def search(self, query: Query, wanted: HitOptions = _DEFAULT_HITS) -> SearchResult:
        """Answer one query.

        Raises QueryError, MediaError (a query picture), ImageNotFoundError, EncoderMismatchError, and
        ExpiredPageError if the generation of a page token is no longer available.
        """
        return self.search_many([query], wanted)[0]

    def search_many(self, queries: Sequence[Query], wanted: HitOptions = _DEFAULT_HITS) -> list[SearchResult]:
        """Answer several queries, in their order, all from one generation except pages of an earlier one.

        Queries that search the same index with the same parameters share one call. Raises what :meth:`search` raises,
        for the first query that fails.
        """

        def ask() -> list[SearchResult]:
            newest = self._editions.newest()
            texts = self._texts(queries, newest.reader)
            asked, digests = [], []
            for query in queries:
                page, digest = page_of(query, [newest.reader.identity.uuid])
                generation = None if page is None else page.generations[0]
                window = Window.of(query, page)
                # An earlier generation may have used a different encoder.
                known = texts.get(query.by) if generation in (None, newest.reader.generation) else None
                asked.append(self.prepare(query, window, newest, generation, texts=known))
                digests.append(digest)
            found = self.find(asked)
            return [build_result([one], digest, wanted) for one, digest in zip(found, digests, strict=True)]

        return self.retry_if_stale(ask)

    def read(self, question: Callable[[StoredT], T]) -> T:
        """Call ``question`` with the reader of the newest generation, again if that generation is purged meanwhile."""
        return self.retry_if_stale(lambda: question(self.reader))

    def retry_if_stale(self, ask: Callable[[], T]) -> T:
        """Call ``ask``, and again on a newer generation if a purge removed files of the current one."""
        return retry_if_stale(ask, self._editions)

    def image_encoders(self) -> dict[int, Encoder]:
        """Return the encoder of each image space by space id, checked against the space.

        Raises EncoderMismatchError.
        """
        spaces = self.reader.current.image_spaces
        return {space.space_id: self._composer.encoder(space, "image") for space in spaces}

    def caption_encoders(self) -> dict[int, Encoder]:
        """Return the encoder of the caption space by its id; empty if there is none. Raises EncoderMismatchError."""
        space = self.reader.current.caption_space
        return {} if space is None else {space.space_id: self._composer.encoder(space, "text")}

    def close(self) -> None:
        self._editions.close()

    # -- the steps of a search; imseek.several combines them over several collections --------------------

    def prepare(
        self,
        query: Query,
        window: Window,
        newest: Generation[StoredT] | None = None,
        generation: int | None = None,
        composed: QueryVectors | None = None,
        texts: Mapping[str, Float32] | None = None,
    ) -> PreparedQuery:
        """Prepare a query for one generation: that of its page token, or else the newest.

        ``composed`` (the query's vectors) and ``texts`` (vectors of its texts) are used if they were computed
        already. Raises QueryError, MediaError, ImageNotFoundError, EncoderMismatchError, ExpiredPageError.
        """
        check_query(query)
        edition = newest or self._editions.newest()
        if generation is not None and generation != edition.reader.generation:
            edition = self._editions.of(generation)
        reader = edition.reader
        spaces = answering_spaces(reader.current, query)
        indexes = tuple(self._editions.index(edition, space) for space in spaces)
        composed = composed or self._composer.compose(query, reader, spaces, edition.sample, texts or {})
        allowed = self._allowed(query, edition)
        total = len(indexes[0]) if allowed is None else indexes[0].count(allowed)
        asked = PreparedQuery(query, window, edition, spaces, indexes, composed, allowed, total)
        if query.more or query.less:
            asked = replace(asked, composed=self._references.refine_query(asked))
        return asked

    def find(self, asked: Sequence[PreparedQuery]) -> list[RankedCandidates]:
        """Search the indexes for each query and apply the stages that work within one collection."""
        first = _batch_first_searches(asked)
        found = []
        for one, known in zip(asked, first, strict=True):
            matches, approximate = rank_images(
                _reuse_first_search(one, known), one.count, one.window.depth, exact=one.exact
            )
            found.append(self._run_stages(one, matches, approximate))
        return found

    def _run_stages(self, asked: PreparedQuery, matches: Matches, approximate: bool) -> RankedCandidates:
        query = asked.query
        if asked.window.whole:  # All candidates are re-ranked: the rungs of the ranking do not matter.
            matches = top_k(matches.ids, matches.scores, len(matches))
        pool, relevant = run_collection_stages(
            CandidateSet.of(matches.ids, matches.scores),
            query,
            asked.facts,
            self._references.for_query(asked),
        )
        beyond = asked.total > len(matches) == relevant
        cut = None if query.cutoff is None else 0 if beyond else asked.total - relevant
        damaged = asked.edition.notes
        notes = asked.composed.notes + tuple(space.note for space in asked.spaces if space.note)
        notes += tuple(damaged[space.space_id] for space in asked.spaces if space.space_id in damaged)
        notes += self._editions.notes
        reached = query.min_score is not None and len(matches) and matches.scores[-1] < query.min_score
        return RankedCandidates(asked, pool, cut, approximate, beyond and not reached, notes)

    def _texts(self, queries: Sequence[Query], reader: GenerationReader) -> dict[By, Mapping[str, Float32]]:
        """Encode the texts of several queries together. Returns their vectors by ``by`` and text."""
        found: dict[By, Mapping[str, Float32]] = {}
        if len(queries) > 1:
            for by in {query.by for query in queries}:
                alike = [query for query in queries if query.by == by]
                space = answering_spaces(reader.current, alike[0])[0]
                found[by] = self._composer.texts_of(alike, space)
        return found

    def _allowed(self, query: Query, edition: Generation[StoredT]) -> AllowedImages | None:
        """Return the images that satisfy the query's condition, or None if it has none. Raises QueryError."""
        if query.where is None:
            return None
        held = edition.allowed.get(query.where)
        if held is None:
            held = self._where(edition.reader, query.where)
            if len(edition.allowed) >= _MAX_CACHED_FILTERS:
                edition.allowed.clear()
            edition.allowed[query.where] = held
        allowed: AllowedImages = held
        return allowed


class Engine(BaseEngine[Reader]):
    """Searches a collection in a folder. ``device`` selects where vectors are searched, for example on GPUs."""

    def __init__(
        self, root: Path, encoder: EncoderSource, *, kind: str = "faiss", device: str = "auto"
    ) -> None:
        super().__init__(FolderEditions(root, kind, device), encoder)
        self._filters = Filters()

    def scores(self, query: Query, ids: Ids) -> Float32:
        """Score the given images for a query; see :func:`imseek.maps.scores`."""

        def ask() -> Float32:
            newest = self._editions.newest()
            return score_images(self.prepare(query, Window.of(query, None), newest), newest.reader, ids)

        return self.retry_if_stale(ask)

    def close(self) -> None:
        super().close()
        self._filters.close()

    def _where(self, reader: Reader, where: str) -> IdSet:
        return IdSet(self._filters.ids(reader, where))


def _reuse_first_search(asked: PreparedQuery, known: Matches | None) -> Callable[[int, bool], Matches]:
    """Return the query's search function, which reuses the result of its first search if ``known``."""

    def search(k: int, exact: bool) -> Matches:
        return known if known is not None and (k, exact) == asked.first else asked.search(k, exact)

    return search


def _batch_first_searches(asked: Sequence[PreparedQuery]) -> list[Matches | None]:
    """Run the first search of each query, batched where queries share an index and parameters; None for the others."""
    found: list[Matches | None] = [None] * len(asked)
    alike: dict[tuple[object, ...], list[int]] = {}
    for position, one in enumerate(asked):
        if len(one.indexes) == 1:
            key = (id(one.indexes[0]), id(one.allowed), one.first, one.across)
            alike.setdefault(key, []).append(position)
    for positions in alike.values():
        if len(positions) > 1:
            one = asked[positions[0]]
            queries = np.stack([asked[i].composed.units[0] for i in positions])
            k, exact = one.first
            answers = search_batch(one.indexes[0], queries, k, one.allowed, text=one.across, exact=exact)
            for position, matches in zip(positions, answers, strict=True):
                found[position] = matches
    return found
