"""The images and coordinates of a map, cached by generation of the collection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from imseek import maps
from imseek.overview import read_state
from imseek.types.arrays import Float32, Ids
from imseek.ui.render.map_page.document import scale_to_square
from imseek.ui.web.components.scatter import PointData, store_points

#: Maximum number of points drawn; larger maps are sampled in all their parts.
MAX_POINTS: Final = 2_000_000
#: Maximum number of points whose pictures are drawn where there is room.
MAX_PICTURES: Final = 2_000
#: Images among which these are chosen, evenly spread over all: of a million it would take seconds.
_CANDIDATES: Final = 60_000


@dataclass(frozen=True, slots=True)
class MapView:
    """A part of a map in one generation; serves as a cache key."""

    root: Path
    name: str
    where: str | None
    uuid: str
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class MapPoints:
    """Points to draw: ``ids`` (n,) int64, ascending; ``places`` (n, 2) float32 in -1 … 1. The map has ``total``."""

    ids: Ids
    places: Float32
    points: PointData
    total: int


def current_view(root: Path, name: str, where: str | None) -> MapView:
    """Return the view in the current generation."""
    state = read_state(root)
    return MapView(root, name, where, state.uuid, state.generation)


@lru_cache(maxsize=8)
def load_points(view: MapView) -> MapPoints:
    """Load the points of a view.

    Raises UsageError if the map does not exist or no image on it meets the condition, QueryError for a bad condition.
    """
    table = maps.table(view.root, view.name, where=view.where, columns=[])
    total = len(table)
    if total > MAX_POINTS:
        table = table.take(sorted(maps.representative(table, MAX_POINTS)))
    ids = table.column("image_id").to_numpy()
    places = scale_to_square(table)
    step = -(-len(table) // _CANDIDATES) or 1
    some = np.arange(0, len(table), step)
    pictured = some[maps.representative(table.take(some), min(MAX_PICTURES, len(some)))]
    return MapPoints(ids, places, store_points(ids, places, pictured), total)


@lru_cache(maxsize=8)
def count_missing(view: MapView) -> int:
    """Count the images that were added after the map was made."""
    return maps.missing(view.root, view.name)


def clear_cache() -> None:
    """Drop the cached points, after their data was dropped by :mod:`imseek.ui.web.blobs`."""
    load_points.cache_clear()
