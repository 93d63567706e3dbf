"""Group the places where pictures were taken, more finely the smaller the part of the world that is shown.

Positions are counted in a grid over that part, and the grid is cut in two at its widest empty strip, and again, until
what is left is small. So clusters are boxes that do not overlap, and the same positions always give the same ones.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError
from imseek.search.where.country_outlines import country_at
from imseek.types.json_form import Count, Json

Floats: TypeAlias = npt.NDArray[np.float64]
Degrees: TypeAlias = Annotated[float, Json(digits=6)]

#: Columns and rows of the grid, and the share of its width or height up to which a cluster is not cut again.
_GRID: Final = (192, 96)
_SMALL: Final = 1 / 12
#: Clusters of one view.
MAX_CLUSTERS: Final = 40
#: Degrees that a view is wide and high at least.
_LEAST_SIDE: Final = 1e-6


class Box(NamedTuple):
    """A part of the world in degrees. It does not cross the 180th meridian."""

    west: float
    south: float
    east: float
    north: float

    @property
    def where(self) -> str:
        """The condition that its pictures satisfy."""
        return (
            f"latitude BETWEEN {_number(self.south)} AND {_number(self.north)} "
            f"AND longitude BETWEEN {_number(self.west)} AND {_number(self.east)}"
        )

    def contains(self, latitude: Floats, longitude: Floats) -> npt.NDArray[np.bool_]:
        """Return which positions lie inside it."""
        return (latitude >= self.south) & (latitude <= self.north) & (longitude >= self.west) & (longitude <= self.east)

    def around(self, share: float, least: float) -> Box:
        """Return a box that is wider by a share on each side, at least ``least`` degrees wide, on the world, and twice
        as wide as high."""
        width = max((self.east - self.west) * (1 + 2 * share), 2 * (self.north - self.south) * (1 + 2 * share), least)
        width = min(width, 360.0)
        x, y = (self.west + self.east) / 2, (self.south + self.north) / 2
        west = min(max(x - width / 2, -180.0), 180.0 - width)
        south = min(max(y - width / 4, -90.0), 90.0 - width / 2)
        return Box(*(round(one, 6) for one in (west, south, west + width, south + width / 2)))


WORLD: Final = Box(-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True, slots=True)
class LocationCluster:
    """Images that were taken near each other: the box around them, and the position of one in their middle."""

    images: Count
    latitude: Degrees
    longitude: Degrees
    south: Degrees
    north: Degrees
    west: Degrees
    east: Degrees
    countries: tuple[str, ...]
    """The countries of this position and of the outermost ones, the first one first; without those at sea. Near
    borders it may be the neighbour's: outlines are rough."""
    where: str
    """The condition that these images satisfy."""

    @property
    def box(self) -> Box:
        return Box(self.west, self.south, self.east, self.north)

    @property
    def name(self) -> str:
        """The countries, the first two of them if there are more."""
        return (" and ".join(self.countries[:2]) or "At sea") + ("…" if len(self.countries) > 2 else "")


@dataclass(frozen=True, slots=True)
class LocationCounts:
    """The positions among ``images``: ``known`` have one, ``outside`` of these outside the ``view``.

    ``clusters`` are those inside it, the largest first.
    """

    images: int
    known: int
    outside: int
    view: Box
    clusters: tuple[LocationCluster, ...]


def check_view(view: Box) -> Box:
    """Return a part of the world that can be shown. Raises QueryError."""
    if not all(map(math.isfinite, view)) or min(view.east - view.west, view.north - view.south) < _LEAST_SIDE:
        raise QueryError("a part of the world is west,south,east,north, in degrees", hint="for example -10,35,30,60")
    if view.west < -360 or view.east > 360 or view.south < -180 or view.north > 180:
        raise QueryError("longitudes are from -180 to 180, and latitudes from -90 to 90")
    return view


def find_clusters(latitude: Floats, longitude: Floats, view: Box) -> tuple[LocationCluster, ...]:
    """Group the positions (n,) inside a view, the largest groups first."""
    inside = view.contains(latitude, longitude)
    y, x = latitude[inside], longitude[inside]
    if not len(x):
        return ()
    across, down = _GRID
    column = np.minimum(((x - view.west) * (across / (view.east - view.west))).astype(np.int64), across - 1)
    row = np.minimum(((y - view.south) * (down / (view.north - view.south))).astype(np.int64), down - 1)
    cell = row * across + column
    counts = np.bincount(cell, minlength=across * down).reshape(down, across)
    label = np.zeros((down, across), np.int16)
    for n, (top, bottom, left, right) in enumerate(_cut(counts)):
        label[top:bottom, left:right] = n
    order = np.argsort(label.ravel()[cell], kind="stable")
    labels = label.ravel()[cell][order]
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    digits = _digits(view)
    clusters = []
    for members in np.split(order, starts[1:]):
        box = _round_outwards(x[members], y[members], digits)
        middle = int(members[_middle(x[members], y[members])])
        outer = [int(members[n]) for one in (x, y) for n in (one[members].argmin(), one[members].argmax())]
        names = dict.fromkeys(
            [
                country_at(float(y[middle]), float(x[middle])),
                *(country_at(float(y[n]), float(x[n]), near=0) for n in outer),
            ]
        )
        n = int(np.count_nonzero(box.contains(y, x)))  # What its condition finds: rounded, it may hold a neighbour too.
        at = round(float(y[middle]), 6), round(float(x[middle]), 6)
        sides = box.south, box.north, box.west, box.east
        clusters.append(LocationCluster(n, *at, *sides, tuple(filter(None, names)), box.where))
    return tuple(sorted(clusters, key=lambda one: (-one.images, one.box)))


def around_all(clusters: Sequence[LocationCluster]) -> Box:
    """Return a view of all of some clusters."""
    west, south, _, _ = (min(one.box[n] for one in clusters) for n in range(4))
    _, _, east, north = (max(one.box[n] for one in clusters) for n in range(4))
    return Box(west, south, east, north).around(0.05, 0.01)


def bounds(latitude: Floats, longitude: Floats) -> Box | None:
    """Return the box around positions (n,), None if there are none."""
    if not len(latitude):
        return None
    return Box(*(float(one) for one in (longitude.min(), latitude.min(), longitude.max(), latitude.max())))


def _cut(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
    """Yield rectangles that hold all counts, as (top, bottom, left, right)."""
    down, across = counts.shape

    def tight(top: int, bottom: int, left: int, right: int) -> tuple[float, tuple[int, int, int, int]]:
        part = counts[top:bottom, left:right]
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        top, bottom = top + int(rows[0]), top + int(rows[-1]) + 1
        left, right = left + int(columns[0]), left + int(columns[-1]) + 1
        return -max((bottom - top) / down, (right - left) / across), (top, bottom, left, right)

    pending = [tight(0, down, 0, across)]
    count = 0
    while pending:
        size, (top, bottom, left, right) = heapq.heappop(pending)  # The largest one.
        if -size <= _SMALL or count + len(pending) + 1 >= MAX_CLUSTERS:
            count += 1
            yield top, bottom, left, right
            continue
        part = counts[top:bottom, left:right]
        by_row, by_column = _gap(part.sum(axis=1), down), _gap(part.sum(axis=0), across)
        if by_row[:2] > by_column[:2]:
            halves = (top, top + by_row[2], left, right), (top + by_row[2], bottom, left, right)
        else:
            halves = (top, bottom, left, left + by_column[2]), (top, bottom, left + by_column[2], right)
        for half in halves:
            heapq.heappush(pending, tight(*half))


def _gap(counts: npt.NDArray[np.int64], lines: int) -> tuple[float, float, int]:
    """Return how wide the widest empty strip is, how long the side, and where to cut it; without a strip where there is
    least, near the middle."""
    occupied = np.flatnonzero(counts)
    if len(occupied) < 2:
        return -1.0, 0.0, 0
    widths = np.diff(occupied)
    if widths.max() > 1:
        at = int(widths.argmax())
        return float(widths[at] - 1) / lines, len(counts) / lines, int(occupied[at] + occupied[at + 1] + 1) // 2
    first = len(counts) // 4
    middle = counts[first : max(first + 1, len(counts) - first)].astype(np.float64)
    middle += np.abs(np.arange(len(middle)) - len(middle) / 2) / (2 * len(counts))  # Of equal ones the middle one.
    return 0.0, len(counts) / lines, max(1, first + int(middle.argmin()))


def _middle(x: Floats, y: Floats) -> int:
    """Return the position nearest to the median, which itself need not lie among them."""
    return int((np.abs(x - np.median(x)) + np.abs(y - np.median(y))).argmin())


def _digits(view: Box) -> int:
    """Return the decimal places of boxes: a thousandth of the view, and at most a decimetre."""
    return min(6, max(2, math.ceil(3 - math.log10(view.east - view.west))))


def _round_outwards(x: Floats, y: Floats, digits: int) -> Box:
    step = 10**digits
    west, south = (_round_down(float(one.min()), step) for one in (x, y))
    east, north = (0.0 - _round_down(-float(one.max()), step) for one in (x, y))
    return Box(west, south, east, north)


def _round_down(value: float, step: int) -> float:
    at = math.floor(value * step)
    return (at - 1 if at / step > value else at) / step  # The product may have been rounded up.


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
