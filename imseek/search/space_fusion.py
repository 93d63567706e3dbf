"""Finds the best images over several spaces: exact top-k by the weighted mean of their cosines.

No index stores that mean, so the threshold algorithm finds it (Fagin, Lotem and Naor, *Optimal aggregation algorithms
for middleware*, 2003): fetch the best images of each space, score each of them in every space, and stop once the last
score of the answer is above the weighted mean of the scores at which the lists end, because no image outside the
lists can score higher. Until then the lists grow, in the worst case to the whole collection. If the spaces agree on
what is near, the first lists suffice; if not, the cost approaches that of scoring everything
(docs/decisions/0007-second-space.md measures both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import top_k
from imseek.errors import QueryError
from imseek.search.backend import AllowedImages, Index, max_search_depth
from imseek.types.arrays import Float32

#: The first lists have ``_GROWTH`` times ``k`` rows plus ``_FIRST``; each next one is ``_GROWTH`` times as long.
_GROWTH = 8
_FIRST = 64


@dataclass(frozen=True, slots=True, eq=False)
class SpaceQuery:
    """The query to one space: its index, a unit vector (dim,) float32, and its positive share of the score.

    Shares of all parts add up to 1. All indexes hold the same images. ``text`` is True for a text query.
    """

    index: Index
    query: Float32
    share: float
    text: bool = False


def search_spaces(
    parts: Sequence[SpaceQuery], k: int, allowed: AllowedImages | None = None, *, exact: bool = False
) -> Matches:
    """Return the ``k`` best images, or fewer if there are fewer; ties are ordered by id.

    ``allowed`` restricts the search. With approximate indexes the result is proven only if ``exact`` is True. Raises
    QueryError if an index with a maximum depth cannot settle the answer.
    """
    if len(parts) == 1 or len(parts[0].index) == 0:
        return _search(parts[0], k, allowed, exact)
    most = min((end for part in parts if (end := max_search_depth(part.index)) is not None), default=None)
    fetch = _GROWTH * k + _FIRST
    while True:
        fetch = fetch if most is None else min(fetch, most)
        lists = [_search(part, fetch, allowed, exact) for part in parts]
        ids = np.unique(np.concatenate([matches.ids for matches in lists]))
        if not len(ids):  # no image is allowed
            return lists[0]
        matches = top_k(ids, _weighted_mean(parts, [_scores(part, ids) for part in parts]), k)
        if all(len(found) < fetch for found in lists):  # the lists hold all images
            return matches
        # Rounding is monotonic, so the bound holds to the last bit.
        if matches.scores[-1] > _weighted_mean(parts, [found.scores[-1:] for found in lists])[0]:
            return matches
        if fetch == most:
            raise QueryError(
                f"the best {k:,} over {len(parts)} spaces may lie beyond the best {most:,} of each, where this ends",
                hint="a smaller limit, no cutoff, or words, which ask one space",
            )
        fetch *= _GROWTH


def search_batch(
    index: Index, queries: Float32, k: int, allowed: AllowedImages | None, *, text: bool, exact: bool
) -> list[Matches]:
    """Search one space for each of ``queries`` (q, dim) in one call, which is cheaper than several."""
    return _search_index(index, queries, k, allowed, text, exact)


def _search(part: SpaceQuery, k: int, allowed: AllowedImages | Ids | None, exact: bool) -> Matches:
    return _search_index(part.index, part.query[np.newaxis], k, allowed, part.text, exact)[0]


def _search_index(
    index: Index, queries: Float32, k: int, allowed: AllowedImages | Ids | None, text: bool, exact: bool
) -> list[Matches]:
    """The only place that calls an index."""
    return index.search(queries, k, allowed=allowed, text=text, exact=exact)


def _scores(part: SpaceQuery, ids: Ids) -> Float32:
    """Return the score in one space of each of ``ids``, which must ascend."""
    found = _search(part, len(ids), ids, exact=True)
    return found.scores[np.argsort(found.ids)]


def _weighted_mean(parts: Sequence[SpaceQuery], scores: Sequence[Float32]) -> Float32:
    """Return the weighted mean (n,) float32 of one score array (n,) per part, clipped to [-1, 1]."""
    total = np.zeros(len(scores[0]), np.float64)
    for part, one in zip(parts, scores, strict=True):
        total += part.share * one.astype(np.float64)
    return np.clip(total, -1, 1).astype(np.float32)
