"""A stable ranking per query: one order of all images, of which every search returns a prefix.

An exact index has such an order by definition, an approximate one has not: asked for ten and for a thousand results
it may return different first tens, and pages cut from such answers would repeat hits and omit others. So a ranking
has three rungs, each of which only appends to the previous one:

1. the best ``depth``, approximate: what the first page searched;
2. the best 1,000, approximate;
3. all, exact.

Within a generation each rung always gives the same result. Scores are exact on all rungs; at the start of a rung they
may rise once, by the images that the previous rung missed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from imseek.data.vectors import Matches

#: Maximum depth of an approximate search; deeper searches are exact.
APPROXIMATE_DEPTH: Final = 1000

#: Returns the best k; exact if the flag is True.
SearchFunction = Callable[[int, bool], Matches]


def rank_images(search: SearchFunction, count: int, depth: int, *, exact: bool) -> tuple[Matches, bool]:
    """Return the first ``count`` images of the ranking, and whether it is approximate.

    The first rung is ``depth`` deep. ``count`` must not exceed the number of images that can be found; fewer are
    returned if there are fewer. ``exact`` makes every search exact. If an approximate search finds fewer images than
    requested, the next rung is used.
    """
    if exact or depth > APPROXIMATE_DEPTH:
        return search(count, True), False
    found = search(depth, False)
    if count > len(found) and depth < APPROXIMATE_DEPTH:
        found = _append_new(found, search(APPROXIMATE_DEPTH, False))
    if count > len(found):
        found = _append_new(found, search(count, True))
    return Matches(found.ids[:count], found.scores[:count]), True


def _append_new(first: Matches, second: Matches) -> Matches:
    """Append to ``first`` those matches that only ``second`` has, in its order."""
    new = ~np.isin(second.ids, first.ids)
    return Matches(
        np.concatenate([first.ids, second.ids[new]]), np.concatenate([first.scores, second.scores[new]])
    )
