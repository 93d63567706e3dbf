"""A query prepared for one collection, and the candidates that the collection returns for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.place_paths import folder, locate
from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import cosines, row_norms
from imseek.search.backend import AllowedImages, Generation, GenerationReader, Index, OpenOriginals, unit_rows
from imseek.search.candidate_set import CandidateSet
from imseek.search.conformal import LossCurve
from imseek.search.cutoff import SAMPLE
from imseek.search.query import Query
from imseek.search.query_options import GroupBy
from imseek.search.query_vectors import QueryEncoder, QueryVectors
from imseek.search.retrieve import APPROXIMATE_DEPTH, weighted_mean
from imseek.search.score_fusion import NO_WORDS, Calibration, CaptionHits, WordHits
from imseek.types.arrays import Float32
from imseek.types.pictures import display_path
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.search.rerankers import LoadedReranker


@dataclass(frozen=True, slots=True)
class PageWindow:
    """The part of the ranking that a page needs: ``limit`` hits or groups after ``offset``.

    ``depth`` is how deep the first page searched (:mod:`imseek.search.retrieve`); ``whole`` is True if the stages need
    all candidates at once. ``generations`` are those of the first page, one per collection, None for the newest;
    ``digest`` identifies the query in page tokens.
    """

    offset: int
    limit: int
    depth: int
    whole: bool
    generations: tuple[int | None, ...]
    digest: bytes

    @property
    def count(self) -> int:
        """The number of ranks to fetch: one more than shown, to know whether a next page exists.

        Not one more if that rank would be the first to require an exact search.
        """
        if self.whole:
            return self.depth
        end = self.offset + self.limit
        return end if end == APPROXIMATE_DEPTH else end + 1


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Identifies a group of hits; ``name`` is the label shown to users."""

    key: Hashable
    name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class PreparedQuery:
    """A query prepared for one generation: the spaces and indexes to search and the query's vector in each.

    ``allowed`` restricts the search to some images (None: all); ``total`` is the number of images that can be found. A
    search by words alone has no spaces and no vectors.
    For re-ranking stages this is a :class:`imseek.search.candidate_set.StageContext`; stages within one collection may
    also compare candidates with ``samples`` of it, and with texts encoded by ``encoder``.

    ``reranker`` is the one that the query names; ``originals`` opens the pictures that it may look at.

    ``words`` are the images that words of the query match. With ``calibration``, the ranking is fused with them;
    ``pictures`` is then the part of the ranking by cosine that was retrieved.

    ``has_names`` is True if the words of the collection are known to name things
    (:func:`imseek.search.collection_word_reliability.read_has_names`); only the cutoff asks.

    ``curve`` is what lists of such queries lose, if the collection was calibrated, and ``threshold`` the relevance at
    which a list with a promise ends (:mod:`imseek.search.promised_cutoff`); ``notes`` are messages for the user on how
    the query was prepared.
    """

    query: Query
    window: PageWindow
    generation: Generation[GenerationReader]
    spaces: tuple[SpaceInfo, ...]
    indexes: tuple[Index, ...]
    query_vectors: QueryVectors
    allowed: AllowedImages | None
    total: int
    encoder: QueryEncoder
    words: WordHits = NO_WORDS
    calibration: Calibration | None = None
    pictures: Matches | None = None
    captions: CaptionHits | None = None
    reranker: LoadedReranker | None = None
    originals: OpenOriginals | None = None
    has_names: bool = False
    curve: LossCurve | None = None
    threshold: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def first_space(self) -> SpaceInfo:
        """The first space that is searched, of pictures where words alone are."""
        return (self.spaces or self.reader.current.image_spaces)[0]

    @property
    def reader(self) -> GenerationReader:
        return self.generation.reader

    @property
    def searched(self) -> int:
        """The number of images that were compared with the query."""
        if self.query.by != "text":
            return self.total
        return self.reader.current.images if self.allowed is None else len(self.allowed)

    @property
    def is_text(self) -> bool:
        """Whether the query consists of text only."""
        query = self.query
        return all(term.text is not None for term in query.terms) and not query.more and not query.less

    @property
    def searches_as_text(self) -> bool:
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
        """Depth of the first search, and whether it is exact (:func:`imseek.search.retrieve.rank_images`)."""
        if self.exact or self.window.depth > APPROXIMATE_DEPTH:
            return self.count, True
        return self.window.depth, False

    def scores_of(self, ids: Ids) -> Float32:
        """Return the exact scores (m,) of live images, as a search of the indexes would."""
        parts = []
        for space, unit in zip(self.spaces, self.query_vectors.units, strict=True):
            rows = self.reader.vectors(ids.tolist(), space.space_id).astype(np.float32)
            parts.append(cosines(unit, rows, row_norms(rows)))
        return parts[0] if len(parts) == 1 else weighted_mean(self.query_vectors.shares, parts)

    # -- what stages look up -------------------------------------------------------------------------------

    def samples(self) -> list[Float32]:
        """Return one sample (s, dim) float32 per searched space, of the same live images in each."""
        return [self.generation.sample(space, SAMPLE) for space in self.spaces]

    def rows(self, ids: Ids) -> list[Float32]:
        """Return the (m, dim) float32 unit rows of images in each searched space."""
        return [unit_rows(self.reader, ids, space) for space in self.spaces]

    def vectors(self, candidates: CandidateSet) -> Float32:
        """Return unit rows to compare candidates by: those of image spaces, even if the query searches captions."""
        spaces, shares = self.spaces, self.query_vectors.shares
        if self.query.by in ("caption", "text"):
            spaces, shares = self.reader.current.image_spaces[:1], (1.0,)
        parts = [
            np.float32(share**0.5) * unit_rows(self.reader, candidates.ids, space)
            for space, share in zip(spaces, shares, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    @property
    def each(self) -> tuple[PreparedQuery, ...]:
        """The query as each collection has it: this one."""
        return (self,)

    @property
    def digest(self) -> bytes:
        return self.window.digest + self.reader.generation.to_bytes(8)

    def metadata(self, candidates: CandidateSet) -> list[Mapping[str, Any]]:
        ids = candidates.ids.tolist()
        by_id = self.reader.metadata(ids)
        return [by_id.get(i, {}) for i in ids]

    @contextmanager
    def open_originals(self) -> Iterator[Callable[[int, int], bytes]]:
        assert self.originals is not None
        with self.originals(self.reader) as read:
            yield lambda _, image_id: read(image_id)

    def hashes(self, candidates: CandidateSet) -> npt.NDArray[np.uint64]:
        ids = candidates.ids.tolist()
        by_id = self.reader.intrinsics(ids, ["phash"])
        return np.array([by_id.get(i, {}).get("phash", 0) for i in ids], np.uint64)

    def dates(self, candidates: CandidateSet) -> list[str | None]:
        ids = candidates.ids.tolist()
        by_id = self.reader.intrinsics(ids, ["taken_at"])
        times = [by_id.get(i, {}).get("taken_at") for i in ids]
        return [None if moment is None else moment.isoformat(timespec="milliseconds") for moment in times]

    def keys(self, candidates: CandidateSet, by: GroupBy) -> list[GroupKey]:
        if by == "day":
            days = [None if date is None else date[:10] for date in self.dates(candidates)]
            return [GroupKey(day, day) for day in days]
        ids = candidates.ids.tolist()
        places, sources = self.reader.catalog_places(ids), self.reader.sources()
        group_keys = []
        for image_id in ids:
            if image_id not in places:
                group_keys.append(GroupKey(None, None))
                continue
            source_id, path = places[image_id]
            source = sources[source_id]
            if by == "source":
                name = display_path(locate(source.root, b""))
                group_keys.append(GroupKey((self.reader.identity.uuid, source_id), name))
            else:
                folder_path = folder(source.kind, source.root, path)
                group_keys.append(GroupKey(folder_path, display_path(folder_path)))
        return group_keys


@dataclass(frozen=True, slots=True, eq=False)
class RankedCandidates:
    """The candidates of one collection after its stages, best first.

    ``cut`` is the number of images below the cutoff (None: no cutoff). ``beyond`` is True if more images follow the
    candidates; another page may show them, unless the stages use only the candidates.
    """

    prepared: PreparedQuery
    candidates: CandidateSet
    cut: int | None
    approximate: bool
    beyond: bool
    notes: tuple[str, ...]
