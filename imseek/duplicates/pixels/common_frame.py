"""Compare pictures of one set, whose positions over each other are known, at the pixels of a frame that they share.

Each picture is drawn once for all of its pairs, at a few scales: that of a pair is the next below the scale of its
coarser picture. Then a pair costs a tenth of laying one picture over the other. The result is trusted where both
agree; callers look more closely at the other pairs. Small differences are looked for elsewhere, at the pixels of the
coarser picture: drawn twice, they blur.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from imseek.duplicates.pixels.agreement import TiledComparison, TiledPicture, compare_tiled
from imseek.duplicates.pixels.differences import extremes3
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.placements import Placements, find_overlaps, fit_in_shares
from imseek.duplicates.pixels.registration import Registration, fit_in_pixels, register_near
from imseek.duplicates.pixels.resampling import Fit, Luminance, draw_in_frame

#: Ratio of one scale to the next, and how far, as a part of a step, a scale may lie below the next one and still be
#: rounded up to it: fits of pictures of one size are off by a little.
_STEP: Final = 1.2
_ROUNDING: Final = 0.1
#: A frame is as fine as a picture that has at least this share of its size in it.
_AT_SIZE: Final = 0.95
#: Number of drawn pictures held in memory, some 500 KB each.
_MOST_DRAWN: Final = 192
#: Least share of the overlap that must lie in whole tiles; with less, too little of it is compared.
_LEAST_TILED: Final = 0.5
#: A picture is laid over another one of its set if at least this share of either is covered, and stays so if they agree
#: at least this much and tiles have moved by at most this many pixels, or if enough of them are in place.
_LEAST_COVERED: Final = 0.5
_CLEAR: Final = 0.8
_STILL: Final = 0.2
#: Least mean residual of 3 × 3 pixels of a frame, in grey levels, to look for places more closely: half of what makes
#: a place (:mod:`imseek.duplicates.pixels.differences`), since pictures that are drawn twice blur.
_LEAST_RESIDUAL: Final = 10.0


@dataclass(frozen=True, eq=False)
class _Drawing:
    """A picture at the pixels of a frame, from row ``top`` and column ``left`` on, and its tiles; None if too few."""

    top: int
    left: int
    picture: Luminance
    tiles: TiledPicture | None

    @cached_property
    def extremes(self) -> tuple[Luminance, Luminance]:
        """The lowest and the highest level around each pixel."""
        return extremes3(self.picture)

    def over(self, other: _Drawing) -> tuple[slice, slice]:
        """Return an index of the pixels that lie over ``other``."""
        ends = zip((self.top, self.left), (other.top, other.left), self.picture.shape, other.picture.shape, strict=True)
        rows, columns = (
            slice(max(0, other_start - start), max(0, min(side, other_start + length - start)))
            for start, other_start, side, length in ends
        )
        return rows, columns


class FrameComparison(NamedTuple):
    """How two pictures, drawn as ``first`` and ``second``, lie over each other in a frame.

    ``tiled`` compares their tiles; ``is_at_size`` says whether the frame is about as fine as the coarser picture.
    """

    registration: Registration
    tiled: TiledComparison
    is_at_size: bool
    first: _Drawing
    second: _Drawing

    def may_differ(self) -> bool:
        """Return whether two pictures that agree may differ in a place. Most pairs can be ruled out here; the others
        must be compared at full size."""
        in_first, in_second = self.first.over(self.second), self.second.over(self.first)
        gain, offset = np.float32(self.tiled.gain), np.float32(self.tiled.offset)
        if not gain > 0:  # or NaN
            return True
        first = self.first.picture[in_first]
        second = gain * self.second.picture[in_second] + offset
        # In the levels of the picture with less contrast.
        least = _LEAST_RESIDUAL * min(1.0, float(gain))
        if _largest_mean3(np.abs(first - second)) < least:
            return False
        # Edges differ by how they are drawn, but not from all that is around them.
        low, high = (side[in_first] for side in self.first.extremes)
        low_second, high_second = (gain * side[in_second] + offset for side in self.second.extremes)
        unexplained = np.maximum(low_second - first, first - high_second)
        np.maximum(unexplained, low - second, out=unexplained)
        np.maximum(unexplained, second - high, out=unexplained)
        return _largest_mean3(np.maximum(unexplained, 0, out=unexplained)) >= least


class CommonFrame:
    """Compares pictures; ``load`` returns each by its name in ``placements``, which say where they lie."""

    def __init__(self, load: Callable[[int], Luminance], placements: Placements) -> None:
        self._load, self.placements = load, placements
        #: With the first picture of their set, since sets join.
        self._scales: dict[tuple[int, int], int] = {}
        self._drawings: OrderedDict[tuple[int, int, int], _Drawing] = OrderedDict()
        #: Pictures that were laid once more over others, with the first picture of their set.
        self._settled: set[tuple[int, int]] = set()
        #: By the first picture of a set: how many pictures it had, and the largest of them.
        self._largest: dict[int, tuple[int, int]] = {}

    def scale(self, a: int, b: int) -> int:
        """Return the scale at which two pictures are compared, as an exponent. Pairs cost least in its order."""
        return min(self._scale_of(a), self._scale_of(b))

    def compare(self, a: int, b: int) -> FrameComparison | None:
        """Return how ``b`` lies over ``a``, which must be linked, and how well both agree; None if too little of their
        overlap can be compared."""
        scale = self.scale(a, b)
        first, second = self._draw(a, scale), self._draw(b, scale)
        if first.tiles is None or second.tiles is None:
            return None
        if (comparison := compare_tiled(first.tiles, second.tiles)) is None:
            return None
        tiles = comparison.tiles
        code, shares = self.placements.between(a, b)
        overlap_a, overlap_b = find_overlaps(shares)
        pictures = self._load(a), self._load(b)
        drawn_sides = [max(drawing.picture.shape) for drawing in (first, second)]
        if comparison.pixels < _LEAST_TILED * min(overlap_a * first.picture.size, overlap_b * second.picture.size):
            return None
        registration = Registration(
            code,
            overlap_a,
            overlap_b,
            comparison.correlation,
            tiles.agreement,
            tiles.drift,
            tiles.detail,
            min(drawn_sides),
            tiles.rest,
            tiles.rest_drift,
            tiles.in_place,
            fit_in_pixels(*pictures, code, shares),
        )
        sides = [max(picture.shape) for picture in pictures]
        is_at_size = max(drawn / side for drawn, side in zip(drawn_sides, sides, strict=True)) >= _AT_SIZE
        return FrameComparison(registration, comparison, is_at_size, first, second)

    def settle(self, *pictures: int) -> bool:
        """Lay pictures over the largest one of their set, once per set: through others, errors add up. Return whether
        any has moved."""
        return sum(self._settle(picture) for picture in pictures) > 0

    def _settle(self, picture: int) -> bool:
        first = self.placements.first_of(picture)
        if (first, picture) in self._settled:
            return False
        self._settled.add((first, picture))
        onto = self._largest_of(first)
        self._settled.add((first, onto))
        if onto == picture:
            return False
        code, fit = self.placements.between(onto, picture)
        if max(find_overlaps(fit)) < _LEAST_COVERED:
            return False
        base, moving = self._load(onto), self._load(picture)
        registration = register_near(base, moving, code, fit)
        is_clear = registration.agreement >= _CLEAR and registration.drift <= _STILL
        if registration.fit is None or not (is_clear or registration.is_fixed):
            return False
        self.placements.move(picture, onto, fit_in_shares(registration, (base.shape, moving.shape)))
        self._scales.pop((first, picture), None)
        for key in [key for key in self._drawings if key[:2] == (first, picture)]:
            del self._drawings[key]
        return True

    def _largest_of(self, first: int) -> int:
        members = self.placements.of_set(first)
        count, largest = self._largest.get(first, (0, first))
        if count != len(members):
            largest = max(members, key=self._area)
            self._largest[first] = len(members), largest
        return largest

    def _area(self, picture: int) -> tuple[float, int]:
        """Return the area of a picture in its frame; a sort key."""
        sy, _, sx, _ = self.placements.in_frame(picture)[1]
        return 1 / (sy * sx), -picture

    def _scale_of(self, picture: int) -> int:
        key = self.placements.first_of(picture), picture
        if key not in self._scales:
            fit = self._fit(picture)[1]
            self._scales[key] = math.floor(math.log(math.sqrt(fit.sy * fit.sx)) / math.log(_STEP) + _ROUNDING)
        return self._scales[key]

    def _fit(self, picture: int) -> tuple[int, Fit]:
        """Return how a picture lies in the frame of its set: its orientation, and the fit in pixels."""
        code, shares = self.placements.in_frame(picture)
        first = self.placements.first_of(picture)
        return code, fit_in_pixels(self._load(first), self._load(picture), code, shares)

    def _draw(self, picture: int, scale: int) -> _Drawing:
        key = self.placements.first_of(picture), picture, scale
        if (drawing := self._drawings.get(key)) is not None:
            self._drawings.move_to_end(key)
            return drawing
        code, fit = self._fit(picture)
        turned = np.ascontiguousarray(turn(self._load(picture), INVERSE[code]))
        top, left, values = draw_in_frame(turned, fit.scaled((_STEP**scale,) * 2, (1.0, 1.0)))
        self._drawings[key] = drawing = _Drawing(top, left, values, TiledPicture.of(values, top, left))
        if len(self._drawings) > _MOST_DRAWN:
            self._drawings.popitem(last=False)
        return drawing


def _largest_mean3(values: Luminance) -> float:
    """Return the largest mean of 3 × 3 values."""
    sums = values[:-2] + values[1:-1]
    sums += values[2:]
    return float((sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]).max()) / 9
