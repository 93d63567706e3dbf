"""Re-ranking stages, listed in the order in which they run, and the page that is cut from what they leave.

A stage is a plain function ``stage(candidates, query, context) -> CandidateSet``. It runs only if the query asks for
it, and changes no score. ``COLLECTION_STAGES`` work within one collection, ``MERGED_STAGES`` over all collections
searched; a new stage is a function and one line in either.

After the stages come the page's own steps: hits are gathered in groups, which are ordered by their first hit; the
ranking is cut to the query's limit of hits, or of groups with at most ``per_group`` hits each; and hits sorted by date
are sorted within what is shown, unless a stage has sorted all of them.

The stages use the best 1,000 candidates (or ``limit``, if larger), and the answer ends there. If no stage needs all
candidates at once and there are no groups, it ends with the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from imseek.errors import QueryError
from imseek.search.candidate_set import CandidateSet, StageContext, concatenate
from imseek.search.cutoff import cut_irrelevant
from imseek.search.diversity import diversify
from imseek.search.hubness import move_back_hubs
from imseek.search.near_duplicates import collapse_duplicates
from imseek.search.promised_cutoff import cut_by_promise, estimate_loss, kind_of
from imseek.search.query import Query
from imseek.search.query_options import promise_of

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery
    from imseek.search.rerankers import RerankContext

ContextT = TypeVar("ContextT", bound=StageContext)

#: Number of best candidates that the stages use.
MAX_CANDIDATES: Final = 1000


@dataclass(frozen=True, slots=True)
class Stage(Generic[ContextT]):
    """A function that re-ranks candidates, and ``applies``: whether a query asks for it.

    ``needs_all`` is True if it needs all candidates at once, so that the answer ends with them.
    """

    run: Callable[[CandidateSet, Query, ContextT], CandidateSet]
    applies: Callable[[Query], object]
    needs_all: bool = True


def end_list(candidates: CandidateSet, query: Query, context: PreparedQuery) -> CandidateSet:
    """Drop the candidates beyond the end of relevance, or beyond what the query's promise needs."""
    if context.threshold is None:
        remaining = cut_irrelevant(candidates, query, context)
    else:
        remaining = cut_by_promise(candidates, context, context.threshold)
    return replace(remaining, lost=estimate_loss(candidates, remaining, context))


def drop_low_scores(candidates: CandidateSet, query: Query, context: StageContext) -> CandidateSet:
    """Drop candidates with a lower score than the query's ``min_score``."""
    return candidates.take(np.flatnonzero(candidates.scores >= np.float32(query.min_score)))


def sort_by_date(candidates: CandidateSet, query: Query, context: StageContext) -> CandidateSet:
    """Sort by date, newest first, undated last; ties keep their order."""
    dates = context.dates(candidates)
    dated = sorted((i for i, date in enumerate(dates) if date), key=lambda i: dates[i] or "", reverse=True)
    # `reverse` keeps the order of ties.
    return candidates.take(dated + [i for i, date in enumerate(dates) if not date])


def rerank_best(candidates: CandidateSet, query: Query, context: RerankContext) -> CandidateSet:
    """Order the best candidates by the reranker of the query."""
    from imseek.search.rerankers import order_by_reranker

    return order_by_reranker(candidates, query, context)


def sorts_all(query: Query) -> bool:
    """Return whether dates sort all that is relevant, since the query says what is, and not only a page's hits."""
    return query.sort == "date" and (query.cutoff is not None or query.min_score is not None)


COLLECTION_STAGES: tuple[Stage[PreparedQuery], ...] = (
    Stage(end_list, lambda query: query.cutoff is not None),
    Stage(drop_low_scores, lambda query: query.min_score is not None, needs_all=False),
    Stage(move_back_hubs, lambda query: query.hubness),
    Stage(collapse_duplicates, lambda query: query.collapse),
)
MERGED_STAGES: tuple[Stage[RerankContext], ...] = (
    Stage(rerank_best, lambda query: query.rerank is not None),
    Stage(diversify, lambda query: query.diversity),
    Stage(sort_by_date, sorts_all),
)


def run_stages(
    stages: Sequence[Stage[ContextT]], candidates: CandidateSet, query: Query, context: ContextT
) -> CandidateSet:
    """Apply the stages that the query asks for, in their order."""
    for stage in stages:
        if stage.applies(query):
            candidates = stage.run(candidates, query, context)
    return candidates


def needs_all_candidates(query: Query) -> bool:
    """Return whether the query needs all candidates at once, so that the answer ends with them."""
    stages: tuple[Stage[Any], ...] = (*COLLECTION_STAGES, *MERGED_STAGES)
    # Which documents a lexical search finds may depend on how many it looks for.
    if query.by == "text":
        return True
    return query.group_by is not None or any(stage.needs_all and stage.applies(query) for stage in stages)


def check_query(query: Query) -> None:
    """Raise QueryError for options that exclude each other."""
    if query.by == "text" and (query.more or query.less):
        raise QueryError("more and less compare pictures, and a search by text none", hint="leave out by, more or less")
    if promise_of(query) is not None:
        kind_of(query)
    if query.sort == "date" and query.diversity:
        raise QueryError("hits cannot be both sorted by date and diversified", hint="leave out sort or diversity")
    if query.sort == "date" and query.rerank is not None:
        raise QueryError("hits cannot be both sorted by date and by a reranker", hint="leave out sort or rerank")


@dataclass(frozen=True, slots=True)
class CandidateGroup:
    """A group on a page: its key, the ascending positions of its hits there, and how many hits it has in all."""

    key: Hashable
    positions: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePage:
    """One page: its hits in order and, if grouped, its groups.

    ``following`` is the offset of the next page, None after the last; ``is_reranked`` is True if a reranker has scored
    any candidate, on this page or another.
    """

    candidates: CandidateSet
    groups: tuple[CandidateGroup, ...]
    following: int | None
    is_reranked: bool = False


def cut_page(
    candidates: CandidateSet, query: Query, context: RerankContext, offset: int, *, more: bool = False
) -> CandidatePage:
    """Apply the merged stages and return the page that starts after ``offset`` hits or groups.

    ``more`` is True if the ranking continues after the candidates.
    """
    candidates = run_stages(MERGED_STAGES, candidates, query, context)
    end = offset + query.limit
    sorts_page = query.sort == "date" and not sorts_all(query)
    groups: list[CandidateGroup] = []
    if query.group_by is None:
        count = len(candidates) + more
        page = candidates.take(slice(offset, end))
        if sorts_page:
            page = sort_by_date(page, query, context)
    else:
        positions_by_key = group_positions(context.keys(candidates, query.group_by))
        count = len(positions_by_key)
        group_sets: list[CandidateSet] = []
        start = 0
        for key, positions in list(positions_by_key.items())[offset:end]:
            group_set = candidates.take(positions[: query.per_group])
            if sorts_page:
                group_set = sort_by_date(group_set, query, context)
            groups.append(CandidateGroup(key, tuple(range(start, start + len(group_set))), len(positions)))
            start += len(group_set)
            group_sets.append(group_set)
        page = concatenate(group_sets)
    is_reranked = query.rerank is not None and bool(np.isfinite(candidates.reranked).any())
    return CandidatePage(page, tuple(groups), end if end < count else None, is_reranked)


def group_positions(keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the ascending positions of each key. ``keys`` has one per hit, best first, which orders the groups too."""
    positions_by_key: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        positions_by_key.setdefault(key, []).append(position)
    return positions_by_key
