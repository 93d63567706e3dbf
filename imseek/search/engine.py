"""Search engine: encode the terms of a query, search the vector indexes, re-rank the candidates and build result pages.

``generations`` chooses the generation to search, ``query_vectors`` encodes the terms, ``retrieve`` searches the indexes
for candidates, ``ranking_stages`` filters and orders them, ``result_pages`` looks up what hits carry.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import row_norms, scores_of, top_k
from imseek.data.words.values import FIELDS
from imseek.encoders.runtime import Runtime
from imseek.errors import CAPTION_SOURCES, CorruptCollectionError, QueryError, StaleGenerationError
from imseek.search import ranking_stages
from imseek.search.backend import (
    AllowedImages,
    Generation,
    GenerationCache,
    GenerationReader,
    OpenOriginals,
    StoredT,
)
from imseek.search.candidate_set import CandidateSet
from imseek.search.conformal import Float64, LossCurve
from imseek.search.cutoff import SAMPLE, sample_scores
from imseek.search.generations import GenerationCache as FolderGenerations
from imseek.search.generations import retry_if_stale
from imseek.search.prepared_query import PageWindow, PreparedQuery, RankedCandidates
from imseek.search.promised_cutoff import (
    CutoffCalibration,
    RelevanceSample,
    age_note,
    find_curve,
    find_threshold,
    read_calibration,
    relevance_of,
)
from imseek.search.query import Query
from imseek.search.query_options import By, promise_of
from imseek.search.query_vectors import EncoderSource, QueryEncoder, QueryVectors, answering_spaces
from imseek.search.query_words import has_words, text_share, words_of, words_of_negative_texts
from imseek.search.result_pages import HitOptions, build_results, page_window
from imseek.search.retrieve import retrieve
from imseek.search.score_fusion import (
    MAX_WORD_MATCHES,
    NO_WORDS,
    CaptionHits,
    WordHits,
    calibrate_each,
    fuse_rankings,
    rank_by_words,
    share_frequencies,
)
from imseek.search.where import Filters
from imseek.types.arrays import Float32
from imseek.types.search_results import SearchResult
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.search.rerankers import LoadedReranker

T = TypeVar("T")

#: The number of conditions per generation whose ids are cached.
_MAX_CACHED_FILTERS = 16
#: The most images whose words are matched for an exact search, and before a condition or a minimum score chooses.
_MAX_WORDS = 10_000
#: The number of images that are scored at a time.
_SCORE_BLOCK = 8192
#: The share of a query that only images with all of its words exceed.
_ALL = 1 - 1e-9
#: The field of text in a picture, and how many tokens of a query describe the picture if they are in it.
_TEXT = ("text",)
_TEXT_TOKENS = 2


class BaseEngine(ABC, Generic[StoredT]):
    """Searches one collection in any backend. Thread-safe.

    Each search answers from one generation; a newer one is picked up between searches. ``originals`` opens the pictures
    that rerankers look at; these are made with ``runtime`` and ``notify``, and kept.
    """

    def __init__(
        self,
        generations: GenerationCache[StoredT],
        encoder: EncoderSource,
        originals: OpenOriginals,
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._encoder = QueryEncoder(encoder, originals)
        self._generations = generations
        self._originals = originals
        self._runtime, self._notify = runtime, notify
        self._lock = threading.Lock()
        self._rerankers: dict[str, LoadedReranker] = {}

    @abstractmethod
    def _where(self, reader: StoredT, where: str) -> AllowedImages:
        """Return the images that satisfy the condition. Raises QueryError."""

    def _match_words(self, reader: StoredT, query: Query, limit: int, allowed: AllowedImages | None) -> WordHits | None:
        """Return at most ``limit`` of the allowed images whose words match, without cosines.

        None if this backend has no lexical index.
        """
        return None

    def _has_names(self, reader: StoredT, space: SpaceInfo) -> bool:
        """Return whether the words of the collection name things. False if this backend has none."""
        return False

    def _match_captions(
        self, prepared: PreparedQuery, generation: Generation[StoredT], texts: Mapping[str, Float32]
    ) -> CaptionHits | None:
        """Return the images whose captions are most like the query's texts, of those that it allows.

        ``texts`` are vectors that are known. None if this backend or collection has no captions to compare.
        """
        return None

    def _end(
        self, reader: StoredT, query: Query, space: SpaceInfo
    ) -> tuple[LossCurve | None, float | None, tuple[str, ...]]:
        """Return what lists lose, the relevance at which that of a query with a promise ends, and notes for the user.

        Raises QueryError where no calibration allows the promise; here, since this backend stores none.
        """
        if promise_of(query) is None:
            return None, None, ()
        raise QueryError(
            f"a published collection has no calibration for cutoff {query.cutoff}",
            hint="search the collection that it was published from, or --cutoff auto",
        )

    @property
    def reader(self) -> StoredT:
        """The reader of the newest generation."""
        return self._generations.newest().reader

    def search(self, queries: Sequence[Query], options: HitOptions) -> list[SearchResult]:
        """Answer queries, in their order, all from one generation except pages of an earlier one.

        Queries that search the same index with the same parameters share one call. Raises QueryError, MediaError (a
        query picture), ImageNotFoundError, EncoderMismatchError, and ExpiredPageError if the generation of a page token
        is no longer available, for the first query that fails.
        """

        def answer() -> list[SearchResult]:
            newest = self._generations.newest()
            texts = self._encode_texts(queries, newest.reader) if len(queries) > 1 else {}
            prepared = []
            for query in queries:
                window = page_window(query, [newest.reader.identity.uuid])
                (number,) = window.generations
                # An earlier generation may have used a different encoder.
                known_texts = texts.get(query.by) if number in (None, newest.reader.generation) else None
                prepared.append(self.prepare(query, window, newest, number, texts=known_texts))
            return build_results([[one] for one in self.find(prepared)], options)

        return retry_if_stale(answer, self._generations)

    def read(self, question: Callable[[StoredT], T]) -> T:
        """Call ``question`` with the reader of the newest generation, again if that generation is purged meanwhile."""
        return retry_if_stale(lambda: question(self.reader), self._generations)

    def renew(self) -> int:
        """Open the newest generation again, after a purge removed files of the open one, and return its number."""
        return self._generations.renew()

    def close(self) -> None:
        self._generations.close()

    # -- the steps of a search; imseek.several combines them over several collections --------------------

    def prepare(
        self,
        query: Query,
        window: PageWindow,
        newest: Generation[StoredT] | None = None,
        number: int | None = None,
        query_vectors: QueryVectors | None = None,
        texts: Mapping[str, Float32] | None = None,
        reranker: LoadedReranker | None = None,
    ) -> PreparedQuery:
        """Prepare a query for one generation: of this number, that of its page token, or else the newest.

        ``query_vectors``, ``texts`` (vectors of the query's texts) and ``reranker`` are used if they are there already.
        Raises QueryError, MediaError, ImageNotFoundError, EncoderMismatchError, ExpiredPageError, and PluginError for a
        reranker that cannot be used.
        """
        ranking_stages.check_query(query)
        if reranker is None and query.rerank is not None:
            reranker = self._reranker(query.rerank, query)
        generation = newest or self._generations.newest()
        if number is not None and number != generation.reader.generation:
            generation = self._generations.of(number)
        reader = generation.reader
        if query.by == "text":
            return replace(self._prepare_words(query, window, generation), reranker=reranker, originals=self._originals)
        spaces = answering_spaces(reader.current, query)
        curve, threshold, notes = (None, None, ()) if query.cutoff is None else self._end(reader, query, spaces[0])
        indexes = tuple(self._generations.index(generation, space) for space in spaces)
        if query_vectors is None:
            query_vectors = self._encoder.encode(query, reader, spaces, generation.sample, texts or {})
        allowed = None if query.where is None else self._allowed(query.where, generation)
        total = len(indexes[0]) if allowed is None else indexes[0].count(allowed)
        has_texts = query.by == "auto" and has_words(query)
        words = self._match_words(reader, query, MAX_WORD_MATCHES, allowed) if has_texts else None
        if words is not None and words.note is not None:
            words = replace(NO_WORDS, note=words.note)
        prepared = PreparedQuery(
            query, window, generation, spaces, indexes, query_vectors, allowed, total, self._encoder,
            NO_WORDS if words is None else words, reranker=reranker, originals=self._originals, curve=curve,
            threshold=threshold, notes=notes,
        )  # fmt: skip
        if has_texts and (captions := self._match_captions(prepared, generation, texts or {})) is not None:
            prepared = replace(prepared, captions=captions)
        if query.more or query.less:
            from imseek.search.feedback import refine_query

            prepared = refine_query(prepared)
        if words is not None:
            prepared = _calibrate_words(prepared)
        if has_texts and query.cutoff == "auto":
            prepared = replace(prepared, has_names=self._has_names(reader, spaces[0]))
        return prepared

    def _prepare_words(self, query: Query, window: PageWindow, generation: Generation[StoredT]) -> PreparedQuery:
        """Prepare a query by words alone, for which no vector is read. Raises QueryError."""
        if not has_words(query):
            raise QueryError("a search by text needs words", hint="add words, or compare by image")
        allowed = None if query.where is None else self._allowed(query.where, generation)
        limit = window.count if query.min_score is None else _MAX_WORDS
        words = self._match_words(generation.reader, query, limit, allowed)
        if words is None:
            raise QueryError(
                "a published collection has no words to search by text",
                hint="search the collection that it was published from, or compare by image",
            )
        if query.min_score is not None:
            remaining = words.take(np.flatnonzero(words.shares.astype(np.float32) >= np.float32(query.min_score)))
            words = replace(remaining, total=len(remaining.ids))
        vectors = QueryVectors((), ())
        return PreparedQuery(query, window, generation, (), (), vectors, allowed, words.total, self._encoder, words)

    def find(self, queries: Sequence[PreparedQuery]) -> list[RankedCandidates]:
        """Search the indexes for each query and apply the stages that work within one collection."""
        retrieved = iter(retrieve([prepared for prepared in queries if prepared.spaces]))
        results = []
        for prepared in queries:
            query, total = prepared.query, prepared.total
            if prepared.spaces:
                prepared, ranked, approximate = _rank(prepared, *next(retrieved))
            else:
                ranked, approximate = rank_by_words(prepared.words, prepared.count), not prepared.words.is_exact
            candidates = ranking_stages.run_stages(ranking_stages.COLLECTION_STAGES, ranked, query, prepared)
            beyond = total > len(ranked) and not candidates.irrelevant
            relevant = total if beyond else len(ranked) - candidates.irrelevant
            cut = None if query.cutoff is None else total - relevant
            reached = query.min_score is not None and len(ranked) and ranked.scores[-1] < query.min_score
            damaged = prepared.generation.notes
            notes = (
                prepared.notes
                + prepared.query_vectors.notes
                + tuple(space.note for space in prepared.spaces if space.note)
            )
            notes += tuple(damaged[space.space_id] for space in prepared.spaces if space.space_id in damaged)
            notes += self._generations.notes
            if prepared.words.note is not None:
                notes += (prepared.words.note,)
            if prepared.captions is not None and prepared.captions.note is not None:
                notes += (prepared.captions.note,)
            if query.by == "text" and any(term.text is None for term in query.terms):
                notes += ("a search by text passes over the pictures of a query",)
            if query.by == "caption" and not len(prepared.indexes[0]):
                notes += (f"no image has a caption: {CAPTION_SOURCES}",)
            results.append(RankedCandidates(prepared, candidates, cut, approximate, beyond and not reached, notes))
        return results

    def _encode_texts(self, queries: Sequence[Query], reader: GenerationReader) -> dict[By, Mapping[str, Float32]]:
        """Encode the texts of several queries together. Returns their vectors by ``by`` and text."""
        first = {query.by: query for query in queries if query.by != "text"}
        spaces = {by: answering_spaces(reader.current, query)[0] for by, query in first.items()}
        vectors = {}
        for space in {space.space_id: space for space in spaces.values()}.values():
            same_space = [query for query in queries if query.by in spaces and spaces[query.by] is space]
            vectors[space.space_id] = self._encoder.texts_of(same_space, space)
        return {by: vectors[space.space_id] for by, space in spaces.items()}

    def _reranker(self, name: str, query: Query) -> LoadedReranker:
        """Return a reranker, loaded once. Raises QueryError if there is none or it reads no such query, PluginError."""
        from imseek.search.rerankers import load_reranker

        with self._lock:
            if name not in self._rerankers:
                self._rerankers[name] = load_reranker(name, runtime=self._runtime, notify=self._notify)
            loaded = self._rerankers[name]
        loaded.check_query(query)
        return loaded

    def _allowed(self, where: str, generation: Generation[StoredT]) -> AllowedImages:
        """Return the images that satisfy a condition, cached. Raises QueryError."""
        cached = generation.allowed.get(where)
        if cached is None:
            cached = self._where(generation.reader, where)
            if len(generation.allowed) >= _MAX_CACHED_FILTERS:
                generation.allowed.clear()
            generation.allowed[where] = cached
        allowed: AllowedImages = cached
        return allowed


class _Latest(Generic[T]):
    """A value that is computed once per generation, and cached until that of another generation is requested."""

    def __init__(self) -> None:
        self._entry: tuple[object, T] | None = None

    def of(self, key: object, compute: Callable[[], T]) -> T:
        """Return the value of ``key``, which is equal for one generation only."""
        entry = self._entry
        if entry is None or entry[0] != key:
            self._entry = entry = key, compute()
        return entry[1]


class Engine(BaseEngine[Reader]):
    """Searches a collection in a folder."""

    def __init__(
        self,
        generations: FolderGenerations,
        encoder: EncoderSource,
        originals: OpenOriginals,
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(generations, encoder, originals, runtime, notify)
        self._filters = Filters()
        self._latest_agreement: _Latest[float] = _Latest()
        self._latest_names: _Latest[bool] = _Latest()
        self._latest_calibration: _Latest[CutoffCalibration | CorruptCollectionError | None] = _Latest()

    def scores(self, query: Query, ids: Ids) -> Float32:
        """Score the given images for a query; see :func:`imseek.maps.scores`."""

        def compute() -> Float32:
            newest = self._generations.newest()
            window = page_window(plain, [newest.reader.identity.uuid])
            return _score_images(self.prepare(plain, window, newest), newest.reader, ids)

        if query.by == "text":
            raise QueryError("a search by text has no scores of all images", hint="compare by image or by caption")
        # Words order hits, and change no score.
        plain = replace(query, page=None, by="image" if query.by == "auto" else query.by)
        return retry_if_stale(compute, self._generations)

    def close(self) -> None:
        super().close()
        self._filters.close()

    def measure_relevance(
        self, queries: Sequence[Query], ids: Sequence[Ids], *, ignored_words: tuple[str, ...] = ()
    ) -> list[tuple[Float64, RelevanceSample]]:
        """Return the relevance (m,) of images for each query, and a sample of that of all.

        ``ids`` are live images, for each query. What words in the fields ``ignored_words`` of these images, and their
        captions' vectors, say does not count.
        """

        def measure() -> list[tuple[Float64, RelevanceSample]]:
            newest = self._generations.newest()
            reader, texts = newest.reader, self._encode_texts(queries, newest.reader)
            measures = []
            for query, image_ids in zip(queries, ids, strict=True):
                window = page_window(query, [reader.identity.uuid])
                prepared = self.prepare(query, window, newest, texts=texts.get(query.by))
                own_words = None
                if ignored_words and prepared.calibration is not None:
                    fields = tuple(field for field in FIELDS if field not in ignored_words)
                    own_words = WordHits.of(
                        reader.match_words(words_of(query), len(image_ids), fields, image_ids.tolist())
                    )
                measures.append((relevance_of(prepared, image_ids, own_words), RelevanceSample.of(prepared)))
            return measures

        return retry_if_stale(measure, self._generations)

    def _end(
        self, reader: Reader, query: Query, space: SpaceInfo
    ) -> tuple[LossCurve | None, float | None, tuple[str, ...]]:
        calibration = self._latest_calibration.of(reader.generation, lambda: _read_calibration(reader))
        if isinstance(calibration, CorruptCollectionError):
            if promise_of(query) is not None:
                raise CorruptCollectionError(str(calibration), hint=calibration.hint) from calibration
            return None, None, (f"how much is lost is not known: {calibration} ({calibration.hint})",)
        curve = find_curve(calibration, query, space)
        if promise_of(query) is None:
            return curve, None, ()
        threshold = find_threshold(calibration, query, space)
        assert calibration is not None
        note = age_note(calibration, reader.current.images)
        return curve, threshold, () if note is None else (note,)

    def _match_words(self, reader: Reader, query: Query, limit: int, allowed: AllowedImages | None) -> WordHits:
        if not (words := words_of(query)):
            return NO_WORDS
        unwanted = words_of_negative_texts(query) if query.by == "text" else []
        is_filtered = allowed is not None or query.exact or bool(unwanted)
        looked_up = max(limit, _MAX_WORDS) if is_filtered else limit
        matches = reader.match_words(words, looked_up)
        frequency, among = matches.total, None
        if isinstance(allowed, IdSet) and not matches.is_exact and len(allowed) <= _MAX_WORDS:
            # Those that the condition allows may be beyond the first that hold a common word.
            among = allowed.ids.tolist()
            matches = reader.match_words(words, looked_up, among=among)
        texts = None
        if query.by == "auto" and len(matches.ids) and words.has_tokens(_TEXT_TOKENS):
            texts = reader.match_words(words, looked_up, _TEXT, among, _TEXT_TOKENS)
        hits = WordHits.of(matches, texts)
        if among is not None:
            hits = replace(hits, frequency=frequency)
        for negative in unwanted:  # An image that has all of its words is left out.
            negative_matches = reader.match_words(negative, len(hits.ids), among=hits.ids.tolist())
            remaining = hits.take(
                np.flatnonzero(~np.isin(hits.ids, negative_matches.ids[negative_matches.shares > _ALL]))
            )
            hits = replace(remaining, total=hits.total - len(hits.ids) + len(remaining.ids))
        if allowed is not None:
            assert isinstance(allowed, IdSet)
            hits = hits.take(np.flatnonzero(allowed.marks(hits.ids)))
            hits = replace(hits, total=len(hits.ids))
        return hits.first(limit)

    def _match_captions(
        self, prepared: PreparedQuery, generation: Generation[Reader], texts: Mapping[str, Float32]
    ) -> CaptionHits | None:
        space, query = generation.reader.current.caption_space, prepared.query
        if space is None or space.fingerprint != prepared.spaces[0].fingerprint:
            return None  # Another encoder would have to be loaded.
        try:
            index = self._generations.index(generation, space)
        except (CorruptCollectionError, StaleGenerationError) as error:
            is_newest = self._generations.newest().reader.generation == generation.reader.generation
            if isinstance(error, StaleGenerationError) and not is_newest:
                raise  # A purge has removed the file.
            return CaptionHits.none(f"captions were passed over: {error} ({error.hint})")
        if not len(index):
            return None
        if len(query.terms) == 1:
            unit = prepared.query_vectors.units[0]
        else:
            text_query = replace(query, terms=tuple(term for term in query.terms if term.text is not None))
            try:
                (unit,) = self._encoder.encode(text_query, generation.reader, (space,), generation.sample, texts).units
            except QueryError:  # Beside a picture, texts may cancel each other out.
                return None
        allowed, most = prepared.allowed, min(MAX_WORD_MATCHES, len(index))
        (matches,) = index.search(unit[np.newaxis], most, allowed=allowed, text=True, exact=query.exact)
        if not len(matches):
            return None
        sample = sample_scores([generation.sample(space, SAMPLE)], [unit])
        return CaptionHits(
            matches.ids,
            matches.scores,
            sample,
            len(index),
            query.exact or index.exact,
            generation.notes.get(space.space_id),
            self._agreement(prepared, generation.reader, space),
        )

    def _agreement(self, prepared: PreparedQuery, reader: Reader, captions: SpaceInfo) -> float:
        """Return how captions agree with pictures, measured once a generation."""
        from imseek.search.collection_word_reliability import read_agreement

        return self._latest_agreement.of(
            (reader.generation, captions.space_id),
            lambda: read_agreement(reader, prepared.spaces[0], captions, prepared.samples()[0]),
        )

    def _has_names(self, reader: Reader, space: SpaceInfo) -> bool:
        from imseek.search.collection_word_reliability import read_has_names

        return self._latest_names.of(reader.generation, lambda: read_has_names(reader, space))

    def _where(self, reader: Reader, where: str) -> IdSet:
        return IdSet(self._filters.ids(reader, where))


def _read_calibration(reader: Reader) -> CutoffCalibration | CorruptCollectionError | None:
    try:
        return read_calibration(reader.root)
    except CorruptCollectionError as error:
        return error


def _calibrate_words(prepared: PreparedQuery) -> PreparedQuery:
    """Add the images whose captions match to those whose words do, all with their cosines, and the calibration.

    Where nothing matches, the query stays as it is: beside other collections, its images count as without these words.
    """
    words, captions = prepared.words, prepared.captions
    if captions is not None and len(captions.ids):
        words = words.with_captions(captions)
    if not len(words.ids):
        return prepared
    words = replace(words, cosines=prepared.scores_of(words.ids))
    (prepared,) = _calibrate([replace(prepared, words=words)])
    return prepared


def compare_collections(queries: Sequence[PreparedQuery]) -> list[PreparedQuery]:
    """Return one query, prepared for several collections, so that words count the same in all of them."""
    words = share_frequencies([prepared.words for prepared in queries])
    comparable = [replace(prepared, words=hits) for prepared, hits in zip(queries, words, strict=True)]
    return _calibrate(comparable) if any(prepared.calibration is not None for prepared in comparable) else comparable


def _calibrate(queries: Sequence[PreparedQuery]) -> list[PreparedQuery]:
    """Return one query, prepared for one or more collections, calibrated over samples of all of them."""
    scores = []
    for prepared in queries:
        vectors = prepared.query_vectors
        scores.append(sample_scores(prepared.samples(), vectors.units, vectors.shares))
    first = queries[0]
    captions = [
        prepared.captions if prepared.captions is not None and len(prepared.captions.ids) else None
        for prepared in queries
    ]
    images = sum(prepared.reader.current.images for prepared in queries)
    quality, words = first.spaces[0].quality, [prepared.words for prepared in queries]
    calibrations = calibrate_each(np.concatenate(scores), quality, text_share(first.query), captions, words, images)
    return [
        replace(prepared, calibration=calibration) for prepared, calibration in zip(queries, calibrations, strict=True)
    ]


def _rank(prepared: PreparedQuery, matches: Matches, approximate: bool) -> tuple[PreparedQuery, CandidateSet, bool]:
    """Return the candidates of a query: the first of its ranking by cosine, fused with words if any match.

    Also returns the query with the part of that ranking that stages look up, and whether candidates are approximate.
    """
    if prepared.window.whole:  # All candidates are re-ranked: the rungs of the ranking do not matter.
        matches = top_k(matches.ids, matches.scores, len(matches))
    if prepared.calibration is None:
        return prepared, CandidateSet.of(matches), approximate
    words = prepared.words
    if prepared.query.min_score is not None:  # Only here: all matches calibrate, so that a minimum changes no order.
        words = words.take(np.flatnonzero(words.cosines >= np.float32(prepared.query.min_score)))
    fused = fuse_rankings(matches, words, prepared.calibration, prepared.count)
    return replace(prepared, pictures=matches), fused, approximate or not prepared.words.is_exact


def _score_images(prepared: PreparedQuery, reader: Reader, ids: Ids) -> Float32:
    """Return (n,) float32 scores in the order of ``ids`` (n,): cosines, or their weighted mean over several spaces.

    The score is NaN for an image that is not live, has no vector, or does not satisfy the query's condition.
    """
    from imseek.data.vectors.range_search import StoredRows

    total = np.zeros(len(ids), np.float32)
    vectors = prepared.query_vectors
    for space, unit, share in zip(prepared.spaces, vectors.units, vectors.shares, strict=True):
        rows = StoredRows(reader.segments(space.space_id), space.dim)
        for start in range(0, len(ids), _SCORE_BLOCK):
            block = ids[start : start + _SCORE_BLOCK]
            stored_ids, stored_rows = rows.of(block)
            wide_rows = stored_rows.astype(np.float32)
            block_scores = np.full(len(block), np.nan, np.float32)
            block_scores[np.isin(block, stored_ids)] = scores_of(wide_rows @ unit, row_norms(wide_rows))
            total[start : start + _SCORE_BLOCK] += np.float32(share) * block_scores
        rows.release()
    if prepared.allowed is not None:
        assert isinstance(prepared.allowed, IdSet)
        total[~prepared.allowed.marks(ids)] = np.nan
    return total
