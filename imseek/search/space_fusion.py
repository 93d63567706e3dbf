"""The best images over several spaces: the weighted mean of their cosines, exact.

No index holds that mean, so it is found by the threshold algorithm (Fagin, Lotem and Naor, *Optimal aggregation
algorithms for middleware*, 2003): the best of each space are fetched, each of them is scored in every space, and the
answer stands once its last score is above the weighted mean of the scores at which the lists end, since no image that
is in none of them can have more. Until then the lists grow, in the end to the whole collection. Where spaces agree
on what is near, the first lists suffice; where they do not, the cost nears that of scoring everything
(docs/decisions/0007-second-space.md has both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imseek.data.vectors import Matches
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import top_k
from imseek.errors import QueryError
from imseek.search.backend import Allowed, Index, deepest
from imseek.types import Float32

#: Lists begin with this many times ``k``, and a few more; each next one is that many times as long.
_GROWTH = 8
_FIRST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is asked of one space: a unit query (dim,) float32, and the positive share of its cosines in the score.

    Shares of all parts add up to 1. All indexes hold the same images. ``text`` says that the query is one of words.
    """

    index: Index
    query: Float32
    share: float
    text: bool = False


def best(parts: Sequence[Part], k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Matches:
    """The ``k`` images of the highest scores, fewer where there are fewer; equal scores come in the order of id.

    Only images that are ``allowed``, if that is not None. With approximate indexes the answer is proved only where
    ``exact`` is asked for.
    """
    if len(parts) == 1 or len(parts[0].index) == 0:
        return _search(parts[0], k, allowed, exact)
    most = min((end for part in parts if (end := deepest(part.index)) is not None), default=None)
    fetch = _GROWTH * k + _FIRST
    while True:
        fetch = fetch if most is None else min(fetch, most)
        lists = [_search(part, fetch, allowed, exact) for part in parts]
        ids = np.unique(np.concatenate([matches.ids for matches in lists]))
        if not len(ids):  # nothing is allowed
            return lists[0]
        matches = top_k(ids, _mean(parts, [_scores(part, ids) for part in parts]), k)
        if all(len(found) < fetch for found in lists):  # they hold all there are
            return matches
        # Rounding keeps the order of what it rounds, so the bound holds to the last bit.
        if matches.scores[-1] > _mean(parts, [found.scores[-1:] for found in lists])[0]:
            return matches
        if fetch == most:
            raise QueryError(
                f"the best {k:,} over {len(parts)} spaces may lie beyond the best {most:,} of each, where this ends",
                hint="a smaller limit, no cutoff, or words, which ask one space",
            )
        fetch *= _GROWTH


def best_of_many(
    index: Index, queries: Float32, k: int, allowed: Allowed | None, *, text: bool, exact: bool
) -> list[Matches]:
    """The same in one space, for each of ``queries`` (q, dim): one search, which is cheaper than many."""
    return _asked(index, queries, k, allowed, text, exact)


def _search(part: Part, k: int, allowed: Allowed | Ids | None, exact: bool) -> Matches:
    return _asked(part.index, part.query[np.newaxis], k, allowed, part.text, exact)[0]


def _asked(
    index: Index, queries: Float32, k: int, allowed: Allowed | Ids | None, text: bool, exact: bool
) -> list[Matches]:
    """The one place where indexes are asked."""
    return index.search(queries, k, allowed=allowed, text=text, exact=exact)


def _scores(part: Part, ids: Ids) -> Float32:
    """The score in one space of each of ``ids``, which ascend."""
    found = _search(part, len(ids), ids, exact=True)
    return found.scores[np.argsort(found.ids)]


def _mean(parts: Sequence[Part], scores: Sequence[Float32]) -> Float32:
    """(n,) float32 from one (n,) per part, in [-1, 1]."""
    total = np.zeros(len(scores[0]), np.float64)
    for part, one in zip(parts, scores, strict=True):
        total += part.share * one.astype(np.float64)
    return np.clip(total, -1, 1).astype(np.float32)
