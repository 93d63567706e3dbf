"""From the ranking of a query to one page of its answer: stages that each take a pool of candidates and return one.

In this order, each only where the query asks for it; none changes a score. The first four look at one collection, the
others at all that are asked together:

1. *cutoff*: what lies below the end of relevance goes.
2. *min score*: what scores less goes.
3. *hubness*: images that are near to everything come later.
4. *collapse*: of near-duplicates only the best stays, and knows which it stands for.
5. *diversity*: the best 200 are put in the order of marginal relevance.
6. *date*: the newest come first, those without a date last. It sorts what is relevant: all that the first two have
   kept; where the query asks for neither, the hits of the page.
7. *groups*: hits with one key are put together, the group of the first hit first.
8. *page*: as many hits, or groups of at most ``per_group`` hits, as the query's limit says.

Stages look at the best 1,000 (or ``limit``, if that is more): there the answer ends. Where there is no stage but the
second and the last (and the sixth, page by page), it ends with the collection.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.errors import QueryError
from imseek.search.diversity import diverse
from imseek.search.hit_groups import Members, grouped
from imseek.search.near_duplicates import stand_ins
from imseek.search.query import GroupBy, Query
from imseek.types import Float32

#: How many of the best are shaped, and how many of them diversity puts in another order.
POOL: Final = 1000
DIVERSE: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates in the order in which they are to be shown.

    ``ids`` (m,) int64; ``scores`` (m,) float32; ``relevance`` (m,) float32: what puts them in order, the scores
    unless these are corrected for hubs; ``owners`` (m,): of which of the collections that are asked, 0 where it is one;
    ``others``: for each, the ids of the near-duplicates that it stands for, best first.
    """

    ids: Ids
    scores: Float32
    relevance: Float32
    owners: npt.NDArray[np.int64]
    others: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, ids: Ids, scores: Float32) -> Pool:
        count = len(ids)
        return cls(ids, scores, scores, np.zeros(count, np.int64), ((),) * count)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: npt.ArrayLike) -> Pool:
        """Those at ``positions``, in that order."""
        at = np.asarray(positions, np.int64)
        others = tuple(self.others[i] for i in at.tolist())
        return Pool(self.ids[at], self.scores[at], self.relevance[at], self.owners[at], others)

    def ordered_by(self, relevance: Float32) -> Pool:
        """By other numbers (m,), the highest first; equal ones in the order of ids."""
        return replace(self, relevance=relevance).take(np.lexsort((self.ids, -relevance)))


class Facts(Protocol):
    """What stages ask about candidates; each is looked up when it is asked for."""

    def vectors(self, pool: Pool) -> Float32:
        """(m, dim) float32 unit rows, whose products tell how alike two images are."""
        ...

    def hashes(self, pool: Pool) -> npt.NDArray[np.uint64]:
        """(m,) perceptual hashes, 0 where there is none."""
        ...

    def dates(self, pool: Pool) -> list[str | None]:
        """(m,) when each was taken, by the camera's clock, as text that sorts by time."""
        ...

    def keys(self, pool: Pool, by: GroupBy) -> Sequence[Hashable]:
        """(m,) the group of each."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """One page: its hits in order, and, where they are grouped, the groups, whose positions are in ``pool``.

    ``sizes`` says of each group how many hits it has in all. ``following`` is the offset of the next page, None after
    the last.
    """

    pool: Pool
    groups: tuple[Members, ...] = ()
    sizes: tuple[int, ...] = ()
    following: int | None = None


def looks_at_pool(query: Query) -> bool:
    """Whether some stage needs all candidates at once, so that the answer ends with the pool."""
    return bool(
        query.cutoff is not None
        or query.collapse
        or query.diversity
        or query.group_by is not None
        or query.hubness
        or _sorts_all(query)
    )


def check(query: Query) -> None:
    """Raises QueryError for what cannot be asked together."""
    if query.sort == "date" and query.diversity:
        raise QueryError(
            "hits cannot both be sorted by date and be spread out", hint="leave out sort or diversity"
        )


class Judges(Protocol):
    """The stages that compare candidates with what else is in a collection (:mod:`imseek.search.calibration`)."""

    def kept(self, pool: Pool) -> Pool:
        """Those above the end of relevance."""
        ...

    def without_hubs(self, pool: Pool) -> Pool:
        """Those near to everything later."""
        ...


def sift(pool: Pool, query: Query, facts: Facts, judges: Judges) -> tuple[Pool, int]:
    """The first four stages, for the candidates of one collection, best first; and how many the first has kept."""
    if query.cutoff is not None:
        pool = judges.kept(pool)
    relevant = len(pool)
    pool = at_least(pool, query.min_score)
    if query.hubness:
        pool = judges.without_hubs(pool)
    return (collapsed(pool, facts) if query.collapse else pool), relevant


def arrange(pool: Pool, query: Query, facts: Facts, offset: int, *, more: bool = False) -> Shaped:
    """The other stages, for what was kept: the page that begins after ``offset`` hits or groups.

    ``more`` tells that the ranking goes on after the candidates.
    """
    if query.diversity:
        pool = spread(pool, facts, query.diversity)
    if _sorts_all(query):
        pool = newest_first(pool, facts)
    if query.group_by is None:
        page = pool.take(range(len(pool))[offset : offset + query.limit])
        if query.sort == "date" and not _sorts_all(query):
            page = newest_first(page, facts)
        return Shaped(page, following=_following(offset, query.limit, len(pool) + more))
    return _grouped(pool, query, facts, offset)


def at_least(pool: Pool, score: float | None) -> Pool:
    """Those that score no less."""
    return pool if score is None else pool.take(np.flatnonzero(pool.scores >= np.float32(score)))


def collapsed(pool: Pool, facts: Facts) -> Pool:
    """One for all that show the same picture."""
    stands = stand_ins(facts.vectors(pool), facts.hashes(pool))
    others: dict[int, list[int]] = {}
    for position, first in enumerate(stands.tolist()):
        if first != position:
            others.setdefault(first, []).append(int(pool.ids[position]))
    kept = np.flatnonzero(stands == np.arange(len(pool)))
    return replace(pool.take(kept), others=tuple(tuple(others.get(i, ())) for i in kept.tolist()))


def spread(pool: Pool, facts: Facts, diversity: float) -> Pool:
    """The best 200 in the order of marginal relevance, then the rest."""
    best = pool.take(range(min(DIVERSE, len(pool))))
    order = diverse(best.relevance, facts.vectors(best), diversity)
    return pool.take([*order.tolist(), *range(len(best), len(pool))])


def newest_first(pool: Pool, facts: Facts) -> Pool:
    """By date, descending; hits of one date, and after all those without one, in the order that they had."""
    dates = facts.dates(pool)
    dated = sorted((i for i, date in enumerate(dates) if date), key=lambda i: dates[i] or "", reverse=True)
    # `reverse` keeps the order of equals.
    return pool.take(dated + [i for i, date in enumerate(dates) if not date])


def _grouped(pool: Pool, query: Query, facts: Facts, offset: int) -> Shaped:
    assert query.group_by is not None
    groups = grouped(facts.keys(pool, query.group_by))
    chosen = groups[offset : offset + query.limit]
    shown: list[Pool] = []
    members: list[Members] = []
    for group in chosen:
        part = pool.take(group.positions[: query.per_group])
        if query.sort == "date" and not _sorts_all(query):
            part = newest_first(part, facts)
        start = sum(len(one) for one in shown)
        members.append(Members(group.key, tuple(range(start, start + len(part)))))
        shown.append(part)
    return Shaped(
        joined(shown),
        tuple(members),
        tuple(len(group.positions) for group in chosen),
        _following(offset, query.limit, len(groups)),
    )


def joined(pools: Sequence[Pool]) -> Pool:
    """One after the other."""
    if not pools:
        return Pool.of(np.empty(0, np.int64), np.empty(0, np.float32))
    return Pool(
        np.concatenate([pool.ids for pool in pools]),
        np.concatenate([pool.scores for pool in pools]),
        np.concatenate([pool.relevance for pool in pools]),
        np.concatenate([pool.owners for pool in pools]),
        tuple(others for pool in pools for others in pool.others),
    )


def _sorts_all(query: Query) -> bool:
    return query.sort == "date" and (query.cutoff is not None or query.min_score is not None)


def _following(offset: int, limit: int, count: int) -> int | None:
    return offset + limit if offset + limit < count else None
