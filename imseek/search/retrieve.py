"""Retrieve the best images for a query from the vector indexes, in one stable order.

*A stable order.* Every search for a query returns a prefix of one order of all images. An exact index has such an order
by definition, an approximate one has not: asked for ten and for a thousand results it may return different first tens,
and pages cut from such answers would repeat hits and omit others. So a ranking has three rungs, each of which only
appends to the previous one:

1. the best ``depth``, approximate: what the first page searched;
2. the best 1,000, approximate;
3. all, exact.

Within a generation each rung always gives the same result. Scores are exact on all rungs; at the start of a rung they
may rise once, by the images that the previous rung missed.

*Several spaces.* The order is that of the weighted mean of the cosines in each space. No index stores that mean, so the
threshold algorithm finds the best k by it (Fagin, Lotem and Naor, *Optimal aggregation algorithms for middleware*,
2003): fetch the best images of each space, score each of them in every space, and stop once the last score of the
answer is above the weighted mean of the scores at which the lists end, because no image outside the lists can score
higher. Until then the lists grow, in the worst case to the whole collection. If the spaces agree on what is near, the
first lists suffice; if not, the cost approaches that of scoring everything (docs/decisions/0007-second-space.md
measures both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import top_k
from imseek.errors import QueryError
from imseek.search.backend import AllowedImages, Index, max_search_depth
from imseek.types.arrays import Float32
from imseek.unique_numbers import unique_numbers

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery

#: Maximum depth of an approximate search; deeper searches are exact.
APPROXIMATE_DEPTH: Final = 1000
#: The first lists of several spaces have ``_GROWTH`` times ``k`` rows plus ``_FIRST``; each next one is ``_GROWTH``
#: times as long.
_GROWTH = 8
_FIRST = 64

#: Returns the best k; exact if the flag is True.
SearchFunction = Callable[[int, bool], Matches]


def retrieve(queries: Sequence[PreparedQuery]) -> list[tuple[Matches, bool]]:
    """Return, for each query, the first ``count`` images of its ranking, and whether it is approximate.

    The first searches of queries that share an index and parameters are made together.
    """
    first = _search_together(queries) if len(queries) > 1 else [None] * len(queries)
    results = []
    for query, matches in zip(queries, first, strict=True):
        spaces = zip(query.indexes, query.query_vectors.units, query.query_vectors.shares, strict=True)
        parts = [SpaceQuery(index, unit, share, query.searches_as_text) for index, unit, share in spaces]
        search = partial(search_spaces, parts, allowed=query.allowed)
        results.append(rank_images(search, query.count, query.window.depth, exact=query.exact, first=matches))
    return results


def rank_images(
    search: SearchFunction, count: int, depth: int, *, exact: bool, first: Matches | None = None
) -> tuple[Matches, bool]:
    """Return the first ``count`` images of the ranking, and whether it is approximate.

    The first rung is ``depth`` deep. ``count`` must not exceed the number of images that can be found; fewer are
    returned if there are fewer. ``exact`` makes every search exact. If an approximate search finds fewer images than
    requested, the next rung is used. ``first`` is the result of the first search if it has been made already.
    """
    if exact or depth > APPROXIMATE_DEPTH:
        return search(count, True) if first is None else first, False
    matches = search(depth, False) if first is None else first
    if count > len(matches) and depth < APPROXIMATE_DEPTH:
        matches = _append_new(matches, search(APPROXIMATE_DEPTH, False))
    if count > len(matches):
        matches = _append_new(matches, search(count, True))
    return Matches(matches.ids[:count], matches.scores[:count]), True


def _append_new(first: Matches, second: Matches) -> Matches:
    """Append to ``first`` those matches that only ``second`` has, in its order."""
    is_new = ~np.isin(second.ids, first.ids)
    return Matches(
        np.concatenate([first.ids, second.ids[is_new]]), np.concatenate([first.scores, second.scores[is_new]])
    )


def _search_together(queries: Sequence[PreparedQuery]) -> list[Matches | None]:
    """Run the first search of each query that shares an index and parameters with another; None for the others."""
    results: list[Matches | None] = [None] * len(queries)
    positions_by_key: dict[tuple[object, ...], list[int]] = {}
    for position, query in enumerate(queries):
        if len(query.indexes) == 1:
            key = (id(query.indexes[0]), id(query.allowed), query.first, query.searches_as_text)
            positions_by_key.setdefault(key, []).append(position)
    for positions in positions_by_key.values():
        if len(positions) > 1:
            query = queries[positions[0]]
            units = np.stack([queries[i].query_vectors.units[0] for i in positions])
            k, exact = query.first
            answers = query.indexes[0].search(units, k, allowed=query.allowed, text=query.searches_as_text, exact=exact)
            for position, matches in zip(positions, answers, strict=True):
                results[position] = matches
    return results


@dataclass(frozen=True, slots=True, eq=False)
class SpaceQuery:
    """The query to one space: its index, a unit vector (dim,) float32, and its positive share of the score.

    Shares of all parts add up to 1. All indexes hold the same images. ``text`` is True for a text query.
    """

    index: Index
    query: Float32
    share: float
    text: bool = False

    def search(self, k: int, allowed: AllowedImages | Ids | None, *, exact: bool) -> Matches:
        """Return the ``k`` best images in this space."""
        (matches,) = self.index.search(self.query[np.newaxis], k, allowed=allowed, text=self.text, exact=exact)
        return matches


def search_spaces(
    parts: Sequence[SpaceQuery], k: int, exact: bool = False, *, allowed: AllowedImages | None = None
) -> Matches:
    """Return the ``k`` best images, or fewer if there are fewer; ties are ordered by id.

    ``allowed`` restricts the search. With approximate indexes the result is proven only if ``exact`` is True. Raises
    QueryError if an index with a maximum depth cannot settle the answer.
    """
    if len(parts) == 1 or len(parts[0].index) == 0:
        return parts[0].search(k, allowed, exact=exact)
    depth = min((end for part in parts if (end := max_search_depth(part.index)) is not None), default=None)
    fetch = _GROWTH * k + _FIRST
    shares = [part.share for part in parts]
    while True:
        fetch = fetch if depth is None else min(fetch, depth)
        lists = [part.search(fetch, allowed, exact=exact) for part in parts]
        ids = unique_numbers(*(matches.ids for matches in lists))
        if not len(ids):  # no image is allowed
            return lists[0]
        exact_lists = [part.search(len(ids), ids, exact=True) for part in parts]
        scores = [found.scores[np.argsort(found.ids)] for found in exact_lists]  # in the order of the ids
        matches = top_k(ids, weighted_mean(shares, scores), k)
        if all(len(found) < fetch for found in lists):  # the lists hold all images
            return matches
        # Rounding is monotonic, so the bound holds to the last bit.
        if matches.scores[-1] > weighted_mean(shares, [found.scores[-1:] for found in lists])[0]:
            return matches
        if fetch == depth:
            raise QueryError(
                f"the best {k:,} over {len(parts)} spaces may lie beyond the best {depth:,} of each, where this ends",
                hint="a smaller limit, no cutoff, or words, which ask one space",
            )
        fetch *= _GROWTH


def weighted_mean(shares: Sequence[float], scores: Sequence[Float32]) -> Float32:
    """Return the weighted mean (n,) float32 of one score array (n,) per space, clipped to [-1, 1]."""
    total = np.zeros(len(scores[0]), np.float64)
    for share, space_scores in zip(shares, scores, strict=True):
        total += share * space_scores.astype(np.float64)
    return np.clip(total, -1, 1).astype(np.float32)
