"""The page of an answer: the part of the ranking that it needs, and the result built from it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imseek.search.backend import GenerationReader, unit_rows
from imseek.search.candidate_set import CandidateSet, concatenate
from imseek.search.page_tokens import Page, digest
from imseek.search.prepared import GroupKey, PageWindow, PreparedQuery, RankedCandidates
from imseek.search.query import Query
from imseek.search.query_options import GroupBy
from imseek.search.rerank import MAX_CANDIDATES, CandidatePage, cut_page, needs_all_candidates
from imseek.types.arrays import Float32
from imseek.types.pictures import Place
from imseek.types.search_results import Hit, HitGroup, Match, Searched, SearchResult, SpaceShare
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.search.hit_matches import Metadata
    from imseek.search.rerankers import LoadedReranker, RerankContext

#: The largest depth that fits into the four bytes of a token.
_DEEPEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class HitOptions:
    """What hits carry in addition to id, score and place."""

    metadata: bool = True
    vectors: bool = False


def page_window(query: Query, uuids: Sequence[str]) -> PageWindow:
    """Return the part of the ranking that the query's page needs, over the collections with these UUIDs.

    Raises QueryError for an invalid page token.
    """
    whole = needs_all_candidates(query)
    expected = digest(query, uuids)
    if query.page is not None:
        page = Page.read(query.page, expected, len(uuids))
        return PageWindow(page.offset, query.limit, page.depth, whole, page.generations, expected)
    first = PageWindow(0, query.limit, max(MAX_CANDIDATES, query.limit), whole, (None,) * len(uuids), expected)
    return replace(first, depth=min(first.count, _DEEPEST))


@dataclass(frozen=True, slots=True, eq=False)
class MergedContext:
    """What stages look up about candidates of several collections: each from the collection that owns it."""

    each: Sequence[RerankContext]

    @property
    def reranker(self) -> LoadedReranker | None:
        return self.each[0].reranker

    @property
    def digest(self) -> bytes:
        return b"".join(one.digest for one in self.each)

    def vectors(self, candidates: CandidateSet) -> Float32:
        return np.array(self._gather(candidates, lambda one, part: list(one.vectors(part))), np.float32)

    def hashes(self, candidates: CandidateSet) -> npt.NDArray[np.uint64]:
        return np.array(self._gather(candidates, lambda one, part: list(one.hashes(part))), np.uint64)

    def dates(self, candidates: CandidateSet) -> list[str | None]:
        return self._gather(candidates, lambda one, part: one.dates(part))

    def keys(self, candidates: CandidateSet, by: GroupBy) -> list[Hashable]:
        return self._gather(candidates, lambda one, part: list(one.keys(part, by)))

    def metadata(self, candidates: CandidateSet) -> list[Mapping[str, Any]]:
        return self._gather(candidates, lambda one, part: list(one.metadata(part)))

    @contextmanager
    def open_originals(self) -> Iterator[Callable[[int, int], bytes]]:
        with ExitStack() as stack:
            readers = [stack.enter_context(one.open_originals()) for one in self.each]
            yield lambda owner, image_id: readers[owner](owner, image_id)

    def _gather(
        self, candidates: CandidateSet, look_up: Callable[[RerankContext, CandidateSet], list[Any]]
    ) -> list[Any]:
        found: list[Any] = [None] * len(candidates)
        for owner, context in enumerate(self.each):
            positions = np.flatnonzero(candidates.owners == owner)
            if positions.size:
                values = look_up(context, candidates.take(positions))
                for position, value in zip(positions.tolist(), values, strict=True):
                    found[position] = value
        return found


def build_result(found: Sequence[RankedCandidates], wanted: HitOptions) -> SearchResult:
    """Build the result of one query from the candidates of one or more collections with the same encoders.

    Hits of several collections are ordered by score; ties by the order of the collections, then by id.
    """
    (result,) = build_results([found], wanted)
    return result


def build_results(answers: Sequence[Sequence[RankedCandidates]], wanted: HitOptions) -> list[SearchResult]:
    """Build the results of several queries as :func:`build_result`; what their hits carry is looked up together."""
    pages = [_cut_page(found) for found in answers]
    known = _look_up(answers, pages, wanted)
    return [_result(found, page, known, wanted) for found, page in zip(answers, pages, strict=True)]


def _cut_page(found: Sequence[RankedCandidates]) -> CandidatePage:
    first = found[0].prepared
    several = len(found) > 1
    return cut_page(
        _merge(found) if several else found[0].candidates,
        first.query,
        MergedContext([one.prepared for one in found]) if several else first,
        first.window.offset,
        more=any(one.beyond for one in found) and not first.window.whole,
    )


def _result(
    found: Sequence[RankedCandidates], page: CandidatePage, known: Mapping[int, _HitData], wanted: HitOptions
) -> SearchResult:
    first = found[0].prepared
    window = first.window
    hits = _hits(found, page, known, wanted)
    notes = [note for one in found for note in one.notes]
    candidates = sum(len(one.candidates) for one in found)
    if first.reranker is not None and candidates > 1:
        count = min(first.query.rerank_limit, candidates)
        notes.append(first.reranker.note(count, is_ordered=page.is_reranked))
    next_page = None
    if page.following is not None:
        for one in found:
            one.prepared.edition.paged = True
        generations = tuple(one.prepared.reader.generation for one in found)
        next_page = Page(generations, page.following, window.depth, window.digest).token()
    elif window.whole and any(one.beyond for one in found):
        notes.append(f"the list ends with the {first.count:,} best; a filter or a larger limit reaches further")
    shares = zip(first.spaces, first.query_vectors.shares, strict=True)
    return SearchResult(
        hits=hits,
        generation=first.reader.generation,
        searched=sum(one.prepared.searched for one in found),
        encoder=_first_space(first).encoder,
        notes=tuple(dict.fromkeys(notes)),
        spaces=tuple(SpaceShare(space.space_id, space.encoder, share) for space, share in shares),
        next_page=next_page,
        cut=None if found[0].cut is None else sum(one.cut or 0 for one in found),
        lost=found[0].candidates.lost if len(found) == 1 else None,
        approximate=any(one.approximate for one in found),
        groups=tuple(
            HitGroup(_name(group.key), group.size, tuple(hits[i] for i in group.positions)) for group in page.groups
        ),
        collections=tuple(
            Searched(one.prepared.reader.identity.uuid, one.prepared.reader.generation, one.prepared.searched)
            for one in found
        ),
    )


def _merge(found: Sequence[RankedCandidates]) -> CandidateSet:
    """Merge the candidates by relevance.

    The order within a collection is kept, even if scores rise between rungs of its ranking, so that earlier pages
    stay the same when more candidates are fetched.
    """
    sets = [
        replace(one.candidates, owners=np.full(len(one.candidates), owner, np.int64)) for owner, one in enumerate(found)
    ]
    starts = np.cumsum([0, *(len(one) for one in sets)]).tolist()
    everything = concatenate(sets)
    ranks = [range(start, start + len(one)) for start, one in zip(starts, sets, strict=False)]
    return everything.take(list(heapq.merge(*ranks, key=lambda i: -float(everything.relevance[i]))))


@dataclass(frozen=True, slots=True, eq=False)
class _HitData:
    """What hits of one reader carry, by image id."""

    places: Mapping[int, Place]
    metadata: Metadata


def _look_up(
    answers: Sequence[Sequence[RankedCandidates]], pages: Sequence[CandidatePage], wanted: HitOptions
) -> dict[int, _HitData]:
    """Return what the hits on all pages carry, by the identity of their reader: once for each image."""
    readers: dict[int, GenerationReader] = {}
    shown: dict[int, dict[int, None]] = {}
    for found, page in zip(answers, pages, strict=True):
        for owner, one in enumerate(found):
            reader = one.prepared.reader
            readers[id(reader)] = reader
            ids = page.candidates.ids[page.candidates.owners == owner].tolist()
            shown.setdefault(id(reader), {}).update(dict.fromkeys(ids))
    known = {}
    for key, reader in readers.items():
        ids = list(shown[key])
        known[key] = _HitData(reader.places(ids), reader.metadata(ids) if wanted.metadata else {})
    return known


def _hits(
    found: Sequence[RankedCandidates], page: CandidatePage, known: Mapping[int, _HitData], wanted: HitOptions
) -> tuple[Hit, ...]:
    """Return the hits of a page."""
    names = {i: _name(group.key) for group in page.groups for i in group.positions}
    hits: dict[int, Hit] = {}
    for owner, one in enumerate(found):
        positions = np.flatnonzero(page.candidates.owners == owner).tolist()
        mine, reader = page.candidates.take(positions), one.prepared.reader
        ids = mine.ids.tolist()
        data = known[id(reader)]
        why = _why(one.prepared, mine, data.metadata if wanted.metadata else None)
        rows = unit_rows(reader, mine.ids, _first_space(one.prepared)) if wanted.vectors else None
        for n, (position, image_id) in enumerate(zip(positions, ids, strict=True)):
            hits[position] = Hit(
                collection=reader.identity.uuid,
                image_id=image_id,
                score=float(mine.scores[n]),
                place=data.places.get(image_id),
                metadata=_copy(data.metadata.get(image_id, {})),  # Other results may have the same image.
                duplicates=mine.others[n],
                group=names.get(position),
                matches=_reranking(one.prepared.query, float(mine.reranked[n])) + why.get(image_id, ()),
                vector=None if rows is None else rows[n],
            )
    return tuple(hits[position] for position in range(len(page.candidates)))


def _copy(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: deepcopy(value) if isinstance(value, list | dict) else value for name, value in metadata.items()}


def _reranking(query: Query, score: float) -> tuple[Match, ...]:
    """Return the score that the query's reranker gave a hit, as a reason; empty for NaN: it did not see the hit."""
    return () if query.rerank is None or np.isnan(score) else (Match("reranker", (query.rerank,), score=score),)


def _why(prepared: PreparedQuery, hits: CandidateSet, metadata: Metadata | None) -> dict[int, tuple[Match, ...]]:
    """Return why hits match by picture and words, by image id; empty if no word matches any image."""
    if prepared.calibration is None and prepared.query.by != "text":
        return {}
    from imseek.search.hit_matches import match_hits

    return match_hits(prepared, hits, metadata)


def _first_space(prepared: PreparedQuery) -> SpaceInfo:
    return (prepared.spaces or prepared.reader.current.image_spaces)[0]


def _name(key: object) -> str | None:
    assert isinstance(key, GroupKey)
    return key.name
