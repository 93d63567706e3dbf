"""Builds the result page: merges the candidates of all collections, arranges them and looks up what hits carry."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imseek.search.candidate_metadata import GroupKey, MergedCandidateMetadata, unit_rows
from imseek.search.page_tokens import Page
from imseek.search.prepared import RankedCandidates
from imseek.search.rerank import CandidateMetadata, CandidatePage, CandidateSet, arrange_page, concatenate
from imseek.types.search_results import Hit, HitGroup, Searched, SearchResult, SpaceShare


@dataclass(frozen=True, slots=True)
class HitOptions:
    """What hits carry in addition to id, score and place."""

    metadata: bool = True
    vectors: bool = False


def build_result(found: Sequence[RankedCandidates], digest: bytes, wanted: HitOptions) -> SearchResult:
    """Build the result of one query from the candidates of one or more collections with the same encoders.

    Hits of several collections are ordered by score; ties by the order of the collections, then by id.
    """
    first = found[0].asked
    query, window = first.query, first.window
    facts: CandidateMetadata = (
        first.facts if len(found) == 1 else MergedCandidateMetadata([one.asked.facts for one in found])
    )
    more = not window.whole and any(one.beyond for one in found)
    shaped = arrange_page(_merge(found), query, facts, window.offset, more=more)
    names = {i: _name(members.key) for members in shaped.groups for i in members.positions}
    hits = _hits(found, shaped.pool, names, wanted)
    groups = tuple(
        HitGroup(_name(members.key), size, tuple(hits[i] for i in members.positions))
        for members, size in zip(shaped.groups, shaped.sizes, strict=True)
    )
    shares = zip(first.spaces, first.composed.shares, strict=True)
    return SearchResult(
        hits=hits,
        generation=first.reader.generation,
        searched=sum(one.asked.total for one in found),
        encoder=first.spaces[0].encoder,
        notes=_notes(found, shaped),
        spaces=tuple(SpaceShare(space.space_id, space.encoder, share) for space, share in shares),
        next_page=_next_page(found, shaped, digest),
        cut=None if found[0].cut is None else sum(one.cut or 0 for one in found),
        approximate=any(one.approximate for one in found),
        groups=groups,
        collections=tuple(
            Searched(one.asked.reader.identity.uuid, one.asked.reader.generation, one.asked.total)
            for one in found
        ),
    )


def _merge(found: Sequence[RankedCandidates]) -> CandidateSet:
    """Merge the candidates by relevance.

    The order within a collection is kept, even if scores rise between rungs of its ranking, so that earlier pages
    stay the same when more candidates are fetched.
    """
    pools = [
        replace(one.pool, owners=np.full(len(one.pool), owner, np.int64)) for owner, one in enumerate(found)
    ]
    if len(pools) == 1:
        return pools[0]
    starts = np.cumsum([0, *(len(pool) for pool in pools)]).tolist()
    everything = concatenate(pools)
    ranks = [range(start, start + len(pool)) for start, pool in zip(starts, pools, strict=False)]
    return everything.take(list(heapq.merge(*ranks, key=lambda i: -float(everything.relevance[i]))))


def _hits(
    found: Sequence[RankedCandidates], pool: CandidateSet, names: Mapping[int, str | None], wanted: HitOptions
) -> tuple[Hit, ...]:
    hits: dict[int, Hit] = {}
    for owner, one in enumerate(found):
        positions = np.flatnonzero(pool.owners == owner).tolist()
        mine, reader = pool.take(positions), one.asked.reader
        ids = mine.ids.tolist()
        places = reader.places(ids)
        metadata = reader.metadata(ids) if wanted.metadata else {}
        rows = unit_rows(reader, mine.ids, one.asked.spaces[0]) if wanted.vectors else None
        for n, (position, image_id) in enumerate(zip(positions, ids, strict=True)):
            hits[position] = Hit(
                collection=reader.identity.uuid,
                image_id=image_id,
                score=float(mine.scores[n]),
                place=places.get(image_id),
                metadata=metadata.get(image_id, {}),
                duplicates=mine.others[n],
                group=names.get(position),
                vector=None if rows is None else rows[n],
            )
    return tuple(hits[position] for position in range(len(pool)))


def _next_page(found: Sequence[RankedCandidates], shaped: CandidatePage, digest: bytes) -> str | None:
    if shaped.following is None:
        return None
    for one in found:
        one.asked.edition.paged = True
    generations = tuple(one.asked.reader.generation for one in found)
    return Page(generations, shaped.following, found[0].asked.window.depth, digest).token()


def _notes(found: Sequence[RankedCandidates], shaped: CandidatePage) -> tuple[str, ...]:
    """Return each note once: those on terms and encoders, and where the answer ends."""
    notes = [note for one in found for note in one.notes]
    if shaped.following is None and found[0].asked.window.whole and any(one.beyond for one in found):
        notes.append(
            f"the list ends with the {found[0].asked.count:,} best; a filter or a larger limit reaches further"
        )
    return tuple(dict.fromkeys(notes))


def _name(key: object) -> str | None:
    assert isinstance(key, GroupKey)
    return key.name
