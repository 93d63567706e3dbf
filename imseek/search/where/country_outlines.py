"""A rough outline of the world's countries, and the country that a position lies in.

The outline is ``world.json``, which bench/world_outline.py made from Natural Earth (public domain). Borders are as
Natural Earth draws them, in fact and not by law, and off by up to a third of a degree.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt

#: Degrees from a coast within which a position still belongs to the country: the outline is rough.
_NEAR: Final = 0.3

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Country:
    """A country as closed lines of longitudes and latitudes: ``rings`` (k, 2) each."""

    name: str
    rings: tuple[Ring, ...]

    @property
    def size(self) -> float:
        """Its area in square degrees, of islands and of lakes alike."""
        return sum(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in (ring.T for ring in self.rings))


@cache
def countries() -> tuple[Country, ...]:
    """Return all countries, the smallest first."""
    world = json.loads(resources.files("imseek.search.where").joinpath("world.json").read_text("utf-8"))
    lines = [np.cumsum(np.reshape(arc, (-1, 2)), axis=0) / world["steps"] for arc in world["arcs"]]

    def ring(numbers: Sequence[int]) -> Ring:
        return np.concatenate([lines[n] if n >= 0 else lines[~n][::-1] for n in numbers])

    outlines = [
        Country(name, tuple(part for numbers in rings for part in _split(ring(numbers))))
        for name, rings in world["countries"]
    ]
    return tuple(sorted(outlines, key=lambda one: one.size))


def _split(ring: Ring) -> Iterator[Ring]:
    """Yield a closed line, or its parts on both sides of the 180th meridian if it crosses that."""
    steps = np.diff(ring[:, 0])
    if not (np.abs(steps) > 180).any():
        yield ring
        return
    turns = np.concatenate([[0.0], np.cumsum(-360.0 * np.sign(steps) * (np.abs(steps) > 180))])
    unwrapped = ring + np.stack([turns, np.zeros(len(ring))], axis=1)
    if abs(turns[-1]) > 180:  # It goes around the pole.
        start, end = unwrapped[0, 0], unwrapped[-1, 0]
        unwrapped = np.concatenate([unwrapped, [[end, -90.0], [start, -90.0], unwrapped[0]]])
    for turn in (-360.0, 0.0, 360.0):
        part = _clip(_clip(unwrapped - [turn, 0.0], 180.0, 1.0), -180.0, -1.0)
        if len(part) > 3:
            yield part


def _clip(ring: Ring, border: float, sign: float) -> Ring:
    """Return the part of a closed line with ``sign * x <= sign * border``, closed along the border."""
    points: list[Ring] = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        inside = [sign * one[0] <= sign * border for one in (start, end)]
        if inside[0]:
            points.append(start)
        if inside[0] != inside[1]:
            fraction = (border - start[0]) / (end[0] - start[0])
            points.append(np.array([border, start[1] + fraction * (end[1] - start[1])]))
    return np.array([*points, points[0]]) if points else np.empty((0, 2))


@cache
def _rings() -> tuple[list[tuple[int, Ring]], npt.NDArray[np.float64]]:
    """Return all rings with the position of their country, and their boxes (n, 4): west, south, east, north."""
    numbered_rings = [(n, ring) for n, country in enumerate(countries()) for ring in country.rings]
    return numbered_rings, np.array([(*ring.min(axis=0), *ring.max(axis=0)) for _, ring in numbered_rings])


def country_at(latitude: float, longitude: float, *, near: float = _NEAR) -> str:
    """Return the name of the country at a position, or on a coast ``near`` degrees away; empty without one."""
    rings, boxes = _rings()
    at = np.array([longitude, latitude])
    around = ((boxes[:, :2] - near <= at) & (at <= boxes[:, 2:] + near)).all(axis=1)
    nearby_rings = [rings[n] for n in np.flatnonzero(around)]
    inside = Counter(n for n, ring in nearby_rings if _contains(ring, longitude, latitude))
    for n in sorted(inside):  # A lake, or a country inside, is a ring too.
        if inside[n] % 2:
            return countries()[n].name
    apart, n = min(((_distance(ring, longitude, latitude), n) for n, ring in nearby_rings), default=(math.inf, 0))
    return countries()[n].name if apart <= near else ""


def _contains(ring: Ring, x: float, y: float) -> bool:
    """Return whether a position lies inside a closed line, by the even-odd rule."""
    (x1, y1), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T
    across = (y1 > y) != (y2 > y)
    at = x1[across] + (y - y1[across]) * (x2[across] - x1[across]) / (y2[across] - y1[across])
    return bool(np.count_nonzero(at > x) % 2)


def _distance(ring: Ring, x: float, y: float) -> float:
    """Return the degrees from a position to a closed line."""
    start = ring - [x, y]
    along = np.roll(start, -1, axis=0) - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    fraction = np.clip(-(start * along).sum(axis=1) / length, 0, 1)
    return float(np.hypot(*(start + fraction[:, None] * along).T).min())
