"""What of a map is drawn: which pictures, and where; made once for each generation of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from imseek import maps
from imseek.data.current_file import read_current
from imseek.data.vectors.base import Ids
from imseek.types import Float32
from imseek.ui.map_page.document import square
from imseek.ui.web.components.scatter import Points, points

#: Points that are drawn; of more a sample, of all parts of the map.
MOST: Final = 1_000_000
#: Points whose pictures lie on the map, where there is room for them.
PICTURED: Final = 2_000


@dataclass(frozen=True, slots=True)
class View:
    """A part of a map at one time: what else is known of it can be kept by this."""

    root: Path
    name: str
    where: str | None
    uuid: str
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """``ids`` (n,) int64, ascending; ``places`` (n, 2) float32 between -1 and 1; ``total`` are on the map."""

    ids: Ids
    places: Float32
    points: Points
    total: int


def view(root: Path, name: str, where: str | None) -> View:
    """As of now."""
    now = read_current(root)
    return View(root, name, where, now.uuid, now.generation)


@lru_cache(maxsize=8)
def drawn(shown: View) -> Drawn:
    """Raises UsageError where there is no such map, or nothing on it meets the condition; QueryError for that."""
    table = maps.table(shown.root, shown.name, where=shown.where, columns=[])
    total = len(table)
    if total > MOST:
        table = table.take(sorted(maps.representative(table, MOST)))
    ids = table.column("image_id").to_numpy()
    places = square(table)
    pictured = maps.representative(table, min(PICTURED, len(table)))
    return Drawn(ids, places, points(ids, places, pictured), total)


@lru_cache(maxsize=8)
def missing(shown: View) -> int:
    """How many pictures that a map is of came after it."""
    return maps.missing(shown.root, shown.name)


def forget() -> None:
    """What was sent is not kept any more: make it anew."""
    drawn.cache_clear()


def middle(places: Float32) -> tuple[float, float]:
    """The one of ``places`` (m, 2) nearest to their median: it is among them, which the median need not be."""
    apart = np.abs(places - np.median(places, axis=0)).sum(axis=1)
    x, y = places[int(apart.argmin())]
    return float(x), float(y)
