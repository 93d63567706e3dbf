"""Which images of a map a lasso encloses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imseek.types.arrays import Float32, Ids
from imseek.ui.web import blobs
from imseek.ui.web.components.scatter import Lasso
from imseek.ui.web.pages.map.map_points import MapPoints
from imseek.unique_numbers import unique_numbers

Bools = npt.NDArray[np.bool_]


def inside_polygon(places: Float32, corners: npt.NDArray[np.float64]) -> Bools:
    """Return which of ``places`` (n, 2) lie inside the closed line through ``corners`` (k, 2), by the even-odd rule:
    (n,).

    Points are sorted by height, so that each edge is compared only with those at its height.
    """
    order = np.argsort(places[:, 1], kind="stable")
    x, y = places[order, 0].astype(np.float64), places[order, 1].astype(np.float64)
    odd = np.zeros(len(x), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        low, high = np.searchsorted(y, (min(y1, y2), max(y1, y2)))
        part = slice(int(low), int(high))
        odd[part] ^= x[part] < x1 + (y[part] - y1) * ((x2 - x1) / (y2 - y1))
    inside = np.zeros(len(x), np.bool_)
    inside[order] = odd
    return inside


def ids_in_lasso(points: MapPoints, lasso: Lasso) -> Ids:
    """Return the ids (m,) inside a lasso, ascending, limited to the colours that were shown alone, if any."""
    inside = inside_polygon(points.places, lasso.corners)
    if lasso.shades is not None and (shades := _shades(lasso.colours, len(points.ids))) is not None:
        inside &= np.isin(shades, lasso.shades)
    return points.ids[inside]


def _shades(address: str | None, n: int) -> npt.NDArray[np.uint8] | None:
    """Return the shades that were on screen; None if they are no longer in the cache."""
    data = None if address is None else blobs.blob_cache.get(address.rpartition("/")[2])
    return None if data is None or len(data) != 5 * n else np.frombuffer(data, np.uint8, offset=4 * n)


def update_selection(before: Ids, ids: Ids, *, add: bool) -> Ids:
    """Return the selection after ``ids`` were selected, ascending."""
    return unique_numbers(before, ids) if add else unique_numbers(ids)


def toggle_id(before: Ids, image_id: int) -> Ids:
    return np.setxor1d(before, np.array([image_id], np.int64))
