"""The ranking of a query: one order of all images, of which every search returns a prefix.

An exact index has one by definition. An approximate one has not: asked for ten and for a thousand it may find other
ones among the first ten. Pages that are cut from such answers would repeat hits and leave some out. So a ranking has
three rungs, each of which only adds to what the one before has found:

1. the best ``depth``, approximate: what the first page searched;
2. the best 1,000, approximate;
3. all, exact.

Within a generation each rung gives the same answer whenever it is asked. Scores are exact on all of them; where a rung
begins they may rise once, by what the one before has missed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from imseek.data.vectors import Matches

#: How deep an approximate index is asked. Beyond, searches are exact.
APPROXIMATE: Final = 1000

#: Gives the best k, approximate or, where True is said, exact.
Searching = Callable[[int, bool], Matches]


def ranked(search: Searching, count: int, depth: int, *, exact: bool) -> tuple[Matches, bool]:
    """The first ``count`` of the ranking whose first rung is ``depth`` deep, and whether it is approximate.

    ``count`` is at most the number of images that can be found; fewer are returned where there are fewer. ``exact``
    says that every search is exact anyway, or shall be. An approximate search may find fewer than it is asked for:
    then the next rung is taken.
    """
    if exact or depth > APPROXIMATE:
        return search(count, True), False
    found = search(depth, False)
    if count > len(found) and depth < APPROXIMATE:
        found = _joined(found, search(APPROXIMATE, False))
    if count > len(found):
        found = _joined(found, search(count, True))
    return Matches(found.ids[:count], found.scores[:count]), True


def _joined(first: Matches, second: Matches) -> Matches:
    """``first``, then what only ``second`` has, in its order."""
    new = ~np.isin(second.ids, first.ids)
    return Matches(
        np.concatenate([first.ids, second.ids[new]]), np.concatenate([first.scores, second.scores[new]])
    )
