"""Re-ranking stages: each takes a set of candidates and returns one, ending with one page of the answer.

The stages run in this order, each only if the query asks for it; none changes a score. The first four work within one
collection, the others over all collections searched:

1. *cutoff*: drop candidates beyond the end of relevance.
2. *min score*: drop candidates with a lower score.
3. *hubness*: move back images that are near to everything.
4. *collapse*: keep only the best of near-duplicates, which records the others.
5. *diversity*: order the best 200 by marginal relevance.
6. *date*: newest first, undated last. If the query has a cutoff or a minimum score, this sorts everything kept;
   otherwise only the hits of the page.
7. *groups*: gather hits by key; groups are ordered by their first hit.
8. *page*: cut to the query's limit of hits, or of groups with at most ``per_group`` hits each.

The stages use the best 1,000 candidates (or ``limit``, if larger), and the answer ends there. With only the second
and eighth stages (and the sixth, page by page), it ends with the collection.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.errors import QueryError
from imseek.search.diversity import rank_by_mmr
from imseek.search.groups_by_key import GroupPositions, group_positions
from imseek.search.near_duplicates import find_representatives
from imseek.search.query import Query
from imseek.search.query_options import GroupBy
from imseek.types.arrays import Float32

#: Number of best candidates that the stages use, and how many of them diversity reorders.
MAX_CANDIDATES: Final = 1000
MAX_DIVERSIFIED: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSet:
    """Candidates in display order.

    ``ids`` (m,) int64; ``scores`` (m,) float32; ``relevance`` (m,) float32: the sort key, equal to the scores unless
    corrected for hubs; ``owners`` (m,): index of the collection each belongs to, 0 if there is one; ``others``: for
    each, the ids of the near-duplicates that it represents, best first.
    """

    ids: Ids
    scores: Float32
    relevance: Float32
    owners: npt.NDArray[np.int64]
    others: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, ids: Ids, scores: Float32) -> CandidateSet:
        """Build a set whose relevance is the scores, from one collection."""
        count = len(ids)
        return cls(ids, scores, scores, np.zeros(count, np.int64), ((),) * count)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: npt.ArrayLike) -> CandidateSet:
        """Return the candidates at ``positions``, in that order."""
        at = np.asarray(positions, np.int64)
        others = tuple(self.others[i] for i in at.tolist())
        return CandidateSet(self.ids[at], self.scores[at], self.relevance[at], self.owners[at], others)

    def sort_by(self, relevance: Float32) -> CandidateSet:
        """Sort by another relevance (m,), highest first; ties by id."""
        return replace(self, relevance=relevance).take(np.lexsort((self.ids, -relevance)))


class CandidateMetadata(Protocol):
    """Candidate metadata that stages need, looked up on demand."""

    def vectors(self, pool: CandidateSet) -> Float32:
        """Return (m, dim) float32 unit rows, whose dot products measure how similar two images are."""
        ...

    def hashes(self, pool: CandidateSet) -> npt.NDArray[np.uint64]:
        """Return (m,) perceptual hashes, 0 if unknown."""
        ...

    def dates(self, pool: CandidateSet) -> list[str | None]:
        """Return (m,) capture times by the camera's clock, as text that sorts by time."""
        ...

    def keys(self, pool: CandidateSet, by: GroupBy) -> Sequence[Hashable]:
        """Return (m,) group keys."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePage:
    """One page: its hits in order and, if grouped, the groups as positions in ``pool``.

    ``sizes`` gives the total number of hits of each group. ``following`` is the offset of the next page, None after
    the last.
    """

    pool: CandidateSet
    groups: tuple[GroupPositions, ...] = ()
    sizes: tuple[int, ...] = ()
    following: int | None = None


def needs_all_candidates(query: Query) -> bool:
    """Return whether some stage needs all candidates at once, so that the answer ends with them."""
    return bool(
        query.cutoff is not None
        or query.collapse
        or query.diversity
        or query.group_by is not None
        or query.hubness
        or _sorts_all(query)
    )


def check_query(query: Query) -> None:
    """Raise QueryError for options that exclude each other."""
    if query.sort == "date" and query.diversity:
        raise QueryError(
            "hits cannot both be sorted by date and be spread out", hint="leave out sort or diversity"
        )


class CalibratedStages(Protocol):
    """Stages that compare candidates with calibration data of a collection (:mod:`imseek.search.calibration`)."""

    def kept(self, pool: CandidateSet) -> CandidateSet:
        """Keep the candidates before the end of relevance."""
        ...

    def without_hubs(self, pool: CandidateSet) -> CandidateSet:
        """Move back the candidates that are near to everything."""
        ...


def run_collection_stages(
    pool: CandidateSet, query: Query, facts: CandidateMetadata, judges: CalibratedStages
) -> tuple[CandidateSet, int]:
    """Apply the first four stages to the candidates of one collection, best first.

    Also returns how many candidates the cutoff kept.
    """
    if query.cutoff is not None:
        pool = judges.kept(pool)
    relevant = len(pool)
    pool = drop_below(pool, query.min_score)
    if query.hubness:
        pool = judges.without_hubs(pool)
    return (collapse_duplicates(pool, facts) if query.collapse else pool), relevant


def arrange_page(
    pool: CandidateSet, query: Query, facts: CandidateMetadata, offset: int, *, more: bool = False
) -> CandidatePage:
    """Apply the remaining stages and return the page that starts after ``offset`` hits or groups.

    ``more`` is True if the ranking continues after the candidates.
    """
    if query.diversity:
        pool = diversify(pool, facts, query.diversity)
    if _sorts_all(query):
        pool = sort_by_date(pool, facts)
    if query.group_by is None:
        page = pool.take(range(len(pool))[offset : offset + query.limit])
        if query.sort == "date" and not _sorts_all(query):
            page = sort_by_date(page, facts)
        return CandidatePage(page, following=_next_offset(offset, query.limit, len(pool) + more))
    return _group_page(pool, query, facts, offset)


def drop_below(pool: CandidateSet, score: float | None) -> CandidateSet:
    """Drop candidates with a lower score."""
    return pool if score is None else pool.take(np.flatnonzero(pool.scores >= np.float32(score)))


def collapse_duplicates(pool: CandidateSet, facts: CandidateMetadata) -> CandidateSet:
    """Keep the best of all candidates that show the same picture."""
    stands = find_representatives(facts.vectors(pool), facts.hashes(pool))
    others: dict[int, list[int]] = {}
    for position, first in enumerate(stands.tolist()):
        if first != position:
            others.setdefault(first, []).append(int(pool.ids[position]))
    kept = np.flatnonzero(stands == np.arange(len(pool)))
    return replace(pool.take(kept), others=tuple(tuple(others.get(i, ())) for i in kept.tolist()))


def diversify(pool: CandidateSet, facts: CandidateMetadata, diversity: float) -> CandidateSet:
    """Order the best 200 by marginal relevance, then append the rest."""
    best = pool.take(range(min(MAX_DIVERSIFIED, len(pool))))
    order = rank_by_mmr(best.relevance, facts.vectors(best), diversity)
    return pool.take([*order.tolist(), *range(len(best), len(pool))])


def sort_by_date(pool: CandidateSet, facts: CandidateMetadata) -> CandidateSet:
    """Sort by date, newest first, undated last; ties keep their order."""
    dates = facts.dates(pool)
    dated = sorted((i for i, date in enumerate(dates) if date), key=lambda i: dates[i] or "", reverse=True)
    # `reverse` keeps the order of ties.
    return pool.take(dated + [i for i, date in enumerate(dates) if not date])


def _group_page(pool: CandidateSet, query: Query, facts: CandidateMetadata, offset: int) -> CandidatePage:
    assert query.group_by is not None
    groups = group_positions(facts.keys(pool, query.group_by))
    chosen = groups[offset : offset + query.limit]
    shown: list[CandidateSet] = []
    members: list[GroupPositions] = []
    for group in chosen:
        part = pool.take(group.positions[: query.per_group])
        if query.sort == "date" and not _sorts_all(query):
            part = sort_by_date(part, facts)
        start = sum(len(one) for one in shown)
        members.append(GroupPositions(group.key, tuple(range(start, start + len(part)))))
        shown.append(part)
    return CandidatePage(
        concatenate(shown),
        tuple(members),
        tuple(len(group.positions) for group in chosen),
        _next_offset(offset, query.limit, len(groups)),
    )


def concatenate(pools: Sequence[CandidateSet]) -> CandidateSet:
    """Concatenate sets of candidates."""
    if not pools:
        return CandidateSet.of(np.empty(0, np.int64), np.empty(0, np.float32))
    return CandidateSet(
        np.concatenate([pool.ids for pool in pools]),
        np.concatenate([pool.scores for pool in pools]),
        np.concatenate([pool.relevance for pool in pools]),
        np.concatenate([pool.owners for pool in pools]),
        tuple(others for pool in pools for others in pool.others),
    )


def _sorts_all(query: Query) -> bool:
    return query.sort == "date" and (query.cutoff is not None or query.min_score is not None)


def _next_offset(offset: int, limit: int, count: int) -> int | None:
    return offset + limit if offset + limit < count else None
