"""The page of an answer: the part of the ranking that it needs, the result built from it, and the token of the next.

A token holds the generation, a digest of the query, the offset, and the depth of the first search
(:mod:`imseek.search.retrieve`). It is safe in URLs. A checksum distinguishes a damaged token from one of another
query. Nothing in a token is secret, and nothing in it is trusted except the position it points to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import struct
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError
from imseek.search.backend import GenerationReader, unit_rows
from imseek.search.candidate_set import CandidateSet, concatenate
from imseek.search.prepared_query import GroupKey, PageWindow, RankedCandidates
from imseek.search.query import Query
from imseek.search.query_options import GroupBy
from imseek.search.ranking_stages import MAX_CANDIDATES, CandidatePage, cut_page, needs_all_candidates
from imseek.types.arrays import Float32
from imseek.types.pictures import Place
from imseek.types.search_results import Hit, HitGroup, Match, Pictures, Searched, SearchResult, SpaceShare

if TYPE_CHECKING:
    from imseek.search.hit_matches import Metadata
    from imseek.search.prepared_query import PreparedQuery
    from imseek.search.rerankers import LoadedReranker

#: Version of the token, and number of bytes of the digest in it.
_VERSION: Final = 2
_DIGEST: Final = 12
_HEAD: Final = struct.Struct(f">BBQI{_DIGEST}s")
_GENERATION: Final = struct.Struct(">Q")
_SUM: Final = struct.Struct(">I")

#: Fields of a query that may differ between pages of one answer.
_IGNORED_FIELDS: Final = frozenset({"page", "limit"})

#: Types whose values are hashed as Python writes them.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})

#: The largest depth that fits into the four bytes of a token.
_DEEPEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class HitOptions:
    """What hits carry in addition to id, score and place, and the ``pictures`` of the result."""

    metadata: bool = True
    vectors: bool = False
    pictures: Pictures | None = None


def page_window(query: Query, uuids: Sequence[str]) -> PageWindow:
    """Return the part of the ranking that the query's page needs, over the collections with these UUIDs.

    Raises QueryError for an invalid page token.
    """
    whole = needs_all_candidates(query)
    expected = digest(query, uuids)
    if query.page is not None:
        page = Page.read(query.page, expected, len(uuids))
        return PageWindow(page.offset, query.limit, page.depth, whole, page.generations, expected)
    count = PageWindow(0, query.limit, max(MAX_CANDIDATES, query.limit), whole, (), expected).count
    return PageWindow(0, query.limit, min(count, _DEEPEST), whole, (None,) * len(uuids), expected)


@dataclass(frozen=True, slots=True, eq=False)
class MergedContext:
    """What stages look up about candidates of several collections: each from the collection that owns it."""

    each: Sequence[PreparedQuery]

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
        self, candidates: CandidateSet, look_up: Callable[[PreparedQuery, CandidateSet], list[Any]]
    ) -> list[Any]:
        results: list[Any] = [None] * len(candidates)
        for owner, context in enumerate(self.each):
            positions = np.flatnonzero(candidates.owners == owner)
            if positions.size:
                values = look_up(context, candidates.take(positions))
                for position, value in zip(positions.tolist(), values, strict=True):
                    results[position] = value
        return results


def build_result(rankings: Sequence[RankedCandidates], options: HitOptions) -> SearchResult:
    """Build the result of one query from the candidates of one or more collections with the same encoders.

    Hits of several collections are ordered by score; ties by the order of the collections, then by id.
    """
    (result,) = build_results([rankings], options)
    return result


def build_results(answers: Sequence[Sequence[RankedCandidates]], options: HitOptions) -> list[SearchResult]:
    """Build the results of several queries as :func:`build_result`; what their hits carry is looked up together."""
    pages = []
    for rankings in answers:
        first, several = rankings[0].prepared, len(rankings) > 1
        candidates = _merge(rankings) if several else rankings[0].candidates
        context = MergedContext([one.prepared for one in rankings]) if several else first
        more = any(one.beyond for one in rankings) and not first.window.whole
        pages.append(cut_page(candidates, first.query, context, first.window.offset, more=more))
    data_by_reader = _look_up(answers, pages, options)
    return [_result(rankings, page, data_by_reader, options) for rankings, page in zip(answers, pages, strict=True)]


def _result(
    rankings: Sequence[RankedCandidates],
    page: CandidatePage,
    data_by_reader: Mapping[int, _HitData],
    options: HitOptions,
) -> SearchResult:
    first = rankings[0].prepared
    window = first.window
    hits = _hits(rankings, page, data_by_reader, options)
    notes = [note for one in rankings for note in one.notes]
    candidates = sum(len(one.candidates) for one in rankings)
    if first.reranker is not None and candidates > 1:
        count = min(first.query.rerank_limit, candidates)
        notes.append(first.reranker.note(count, is_ordered=page.is_reranked))
    next_page = None
    if page.following is not None:
        for one in rankings:
            one.prepared.generation.paged = True
        generations = tuple(one.prepared.reader.generation for one in rankings)
        next_page = Page(generations, page.following, window.depth, window.digest).token()
    elif window.whole and any(one.beyond for one in rankings):
        notes.append(f"the list ends with the {first.count:,} best; a filter or a larger limit reaches further")
    shares = zip(first.spaces, first.query_vectors.shares, strict=True)
    return SearchResult(
        hits=hits,
        generation=first.reader.generation,
        searched=sum(one.prepared.searched for one in rankings),
        encoder=first.first_space.encoder,
        notes=tuple(dict.fromkeys(notes)),
        spaces=tuple(SpaceShare(space.space_id, space.encoder, share) for space, share in shares),
        next_page=next_page,
        cut=None if rankings[0].cut is None else sum(one.cut or 0 for one in rankings),
        lost=rankings[0].candidates.lost if len(rankings) == 1 else None,
        approximate=any(one.approximate for one in rankings),
        groups=tuple(
            HitGroup(_name(group.key), group.size, tuple(hits[i] for i in group.positions)) for group in page.groups
        ),
        collections=tuple(
            Searched(one.prepared.reader.identity.uuid, one.prepared.reader.generation, one.prepared.searched)
            for one in rankings
        ),
        pictures=options.pictures,
    )


def _merge(rankings: Sequence[RankedCandidates]) -> CandidateSet:
    """Merge the candidates by relevance.

    The order within a collection is kept, even if scores rise between rungs of its ranking, so that earlier pages
    stay the same when more candidates are fetched.
    """
    sets = [
        replace(one.candidates, owners=np.full(len(one.candidates), owner, np.int64))
        for owner, one in enumerate(rankings)
    ]
    starts = np.cumsum([0, *(len(one) for one in sets)]).tolist()
    all_candidates = concatenate(sets)
    ranks = [range(start, start + len(one)) for start, one in zip(starts, sets, strict=False)]
    return all_candidates.take(list(heapq.merge(*ranks, key=lambda i: -float(all_candidates.relevance[i]))))


@dataclass(frozen=True, slots=True, eq=False)
class _HitData:
    """What hits of one reader carry, by image id."""

    places: Mapping[int, Place]
    metadata: Metadata


def _look_up(
    answers: Sequence[Sequence[RankedCandidates]], pages: Sequence[CandidatePage], options: HitOptions
) -> dict[int, _HitData]:
    """Return what the hits on all pages carry, by the identity of their reader: once for each image."""
    readers: dict[int, GenerationReader] = {}
    ids_by_reader: dict[int, dict[int, None]] = {}
    for rankings, page in zip(answers, pages, strict=True):
        for owner, one in enumerate(rankings):
            reader = one.prepared.reader
            readers[id(reader)] = reader
            page_ids = page.candidates.ids
            ids = (page_ids if len(rankings) == 1 else page_ids[page.candidates.owners == owner]).tolist()
            ids_by_reader.setdefault(id(reader), {}).update(dict.fromkeys(ids))
    data_by_reader = {}
    for key, reader in readers.items():
        ids = list(ids_by_reader[key])
        data_by_reader[key] = _HitData(reader.places(ids), reader.metadata(ids) if options.metadata else {})
    return data_by_reader


def _hits(
    rankings: Sequence[RankedCandidates],
    page: CandidatePage,
    data_by_reader: Mapping[int, _HitData],
    options: HitOptions,
) -> tuple[Hit, ...]:
    names = {i: _name(group.key) for group in page.groups for i in group.positions}
    hits: dict[int, Hit] = {}
    for owner, one in enumerate(rankings):
        candidates, reader = page.candidates, one.prepared.reader
        positions: Sequence[int] = range(len(candidates))
        if len(rankings) > 1:
            positions = np.flatnonzero(candidates.owners == owner).tolist()
            candidates = candidates.take(positions)
        ids = candidates.ids.tolist()
        data = data_by_reader[id(reader)]
        matches_by_id: dict[int, tuple[Match, ...]] = {}
        if one.prepared.calibration is not None or one.prepared.query.by == "text":
            from imseek.search.hit_matches import match_hits

            matches_by_id = match_hits(one.prepared, candidates, data.metadata if options.metadata else None)
        reranker = one.prepared.query.rerank
        rows = unit_rows(reader, candidates.ids, one.prepared.first_space) if options.vectors else None
        for n, (position, image_id) in enumerate(zip(positions, ids, strict=True)):
            matches = matches_by_id.get(image_id, ())
            if reranker is not None and not np.isnan(candidates.reranked[n]):  # NaN: the reranker did not see it.
                matches = (Match("reranker", (reranker,), score=float(candidates.reranked[n])), *matches)
            hits[position] = Hit(
                collection=reader.identity.uuid,
                image_id=image_id,
                score=float(candidates.scores[n]),
                place=data.places.get(image_id),
                metadata=_copy(data.metadata.get(image_id)),  # Other results may have the same image.
                duplicates=candidates.others[n],
                group=names.get(position),
                matches=matches,
                vector=None if rows is None else rows[n],
            )
    return tuple(hits[position] for position in range(len(page.candidates)))


def _copy(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    if not metadata:
        return {}
    return {name: deepcopy(value) if isinstance(value, list | dict) else value for name, value in metadata.items()}


def _name(key: object) -> str | None:
    assert isinstance(key, GroupKey)
    return key.name


@dataclass(frozen=True, slots=True)
class Page:
    """A position in an answer: after ``offset`` hits (groups, if hits are grouped).

    ``generations`` are those of the collections searched, in their order; ``depth`` is how many ranks the first
    search covered; ``digest`` is :func:`digest` of the query.
    """

    generations: tuple[int, ...]
    offset: int
    depth: int
    digest: bytes

    def token(self) -> str:
        """Encode the position as a token of letters, digits, ``-`` and ``_``.

        It has at most 60 characters for one collection.
        """
        head = _HEAD.pack(_VERSION, len(self.generations), self.offset, self.depth, self.digest)
        body = head + b"".join(map(_GENERATION.pack, self.generations))
        return base64.urlsafe_b64encode(body + _SUM.pack(zlib.crc32(body))).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, token: str, expected: bytes, collections: int = 1) -> Page:
        """Decode a token.

        Raises QueryError if it is not a token, is damaged, or belongs to a query whose digest is not ``expected`` or
        to another number of collections.
        """
        page = _unpack(token)
        if page.digest != expected or len(page.generations) != collections:
            raise QueryError(
                "the page token belongs to another query",
                hint="repeat the terms and options that gave the token; only the limit may differ",
            )
        return page


def _unpack(token: str) -> Page:
    damage = QueryError("the page token is damaged", hint="copy the whole token, or start again from the first page")
    try:
        data = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise damage from None
    body, check = data[: -_SUM.size], data[-_SUM.size :]
    if len(body) < _HEAD.size + _GENERATION.size or check != _SUM.pack(zlib.crc32(body)):
        raise damage
    version, count, offset, depth, digest = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise QueryError("the page token comes from another version of imseek", hint="start again from the first page")
    if len(body) != _HEAD.size + count * _GENERATION.size or not count or not depth:
        raise damage
    generations = tuple(one for (one,) in _GENERATION.iter_unpack(body[_HEAD.size :]))
    page = Page(generations, offset, depth, digest)
    if page.token() != token:  # base64 has several encodings of some bytes
        raise damage
    return page


def digest(query: Any, collections: Sequence[str]) -> bytes:
    """Return a 12-byte digest of a query (a dataclass) to the collections with these UUIDs.

    The fields ``page`` and ``limit`` are ignored. A picture file is represented by its path, size and modification
    time.
    """
    hasher = hashlib.sha256()
    for uuid in collections:
        _update(hasher, uuid)
    _update(hasher, query)
    return hasher.digest()[:_DIGEST]


@lru_cache
def _fields_of(query: type) -> tuple[tuple[str, Any], ...]:
    """Return the names of the fields that tell queries apart, and their defaults."""
    return tuple((field.name, field.default) for field in fields(query) if field.name not in _IGNORED_FIELDS)


def _update(sha: Any, value: Any) -> None:
    """Feed a value with its type and length, so that different values never hash the same input."""
    if type(value) in _PLAIN:
        data = repr(value).encode("utf-8", "backslashreplace")
        sha.update(f"{type(value).__name__} {len(data)} ".encode() + data)
    elif isinstance(value, tuple | list):
        sha.update(f"<{len(value)}>".encode())
        for member in value:
            _update(sha, member)
    elif is_dataclass(value):
        # Most fields have their default, and skipping those is faster.
        kind: Any = type(value)
        for name, default in _fields_of(kind):
            member = getattr(value, name)
            if member is not default and (type(member) is not type(default) or member != default):
                _update(sha, name)
                _update(sha, member)
        sha.update(b".")  # The end: fields of what follows are not its own.
    elif isinstance(value, np.ndarray):
        _update(sha, (str(value.dtype), value.shape, value.tobytes()))
    elif isinstance(value, Path):
        _update(sha, (str(value.absolute()), *_file_version(value)))
    else:
        if isinstance(value, np.generic):
            value = value.item()
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
        sha.update(f"{type(value).__name__} {len(data)} ".encode() + data)


def _file_version(path: Path) -> tuple[int, ...]:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ()
    return facts.st_size, facts.st_mtime_ns
