"""Compare pictures of one set, of which it is known how they lie over each other, at the pixels of a frame that they
share.

Each picture is drawn once for all of its pairs, at a few scales: that of a pair is the next below the scale of its
coarser picture. Then a pair costs a tenth of laying one picture over the other. What it says is trusted where both
agree; who asks looks more closely at the others. Small differences are looked for elsewhere, at the pixels of the
coarser picture: drawn twice, they blur.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from imseek.duplicates.pixels.agreement import TiledPicture, compare_tiled
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.placements import Placements, find_overlaps
from imseek.duplicates.pixels.registration import Registration, fit_in_pixels
from imseek.duplicates.pixels.resampling import Fit, Luminance, draw_in_frame

#: From one scale to the next.
_STEP: Final = 1.2
#: Drawn pictures that are held in memory, of some 400 KB each.
_MOST_DRAWN: Final = 192
#: Least share of the overlap that lies in whole tiles, or too little of it was looked at.
_LEAST_TILED: Final = 0.5


class _Drawn(NamedTuple):
    """A picture at the pixels of a frame: how many it has, down and across, and its tiles; None if too few."""

    shape: tuple[int, int]
    tiles: TiledPicture | None


class CommonFrame:
    """Compares pictures; ``load`` returns each by its name in ``placements``, which say where they lie."""

    def __init__(self, load: Callable[[int], Luminance], placements: Placements) -> None:
        self._load, self.placements = load, placements
        #: With the first picture of their set, since sets join.
        self._scales: dict[tuple[int, int], int] = {}
        self._drawn: OrderedDict[tuple[int, int, int], _Drawn] = OrderedDict()

    def scale(self, a: int, b: int) -> int:
        """Return the scale at which two pictures are compared, as an exponent. Pairs cost least in its order."""
        return min(self._scale_of(a), self._scale_of(b))

    def compare(self, a: int, b: int) -> Registration | None:
        """Return how ``b`` lies over ``a``, which must be linked, and how well both agree; None if too little of their
        overlap can be compared."""
        scale = self.scale(a, b)
        one, other = self._draw(a, scale), self._draw(b, scale)
        if one.tiles is None or other.tiles is None:
            return None
        if (compared := compare_tiled(one.tiles, other.tiles)) is None:
            return None
        found, pixels, correlation = compared
        code, shares = self.placements.between(a, b)
        overlap_a, overlap_b = find_overlaps(shares)
        if pixels < _LEAST_TILED * min(overlap_a * math.prod(one.shape), overlap_b * math.prod(other.shape)):
            return None
        return Registration(
            code,
            overlap_a,
            overlap_b,
            correlation,
            found.agreement,
            found.drift,
            found.detail,
            min(max(one.shape), max(other.shape)),
            found.rest,
            found.rest_drift,
            fit_in_pixels(self._load(a), self._load(b), code, shares),
        )

    def _scale_of(self, picture: int) -> int:
        key = self.placements.first_of(picture), picture
        if key not in self._scales:
            fit = self._fit(picture)[1]
            self._scales[key] = math.floor(math.log(math.sqrt(fit.sy * fit.sx)) / math.log(_STEP) + 1e-6)
        return self._scales[key]

    def _fit(self, picture: int) -> tuple[int, Fit]:
        """Return how a picture lies over the first of its set: its orientation, and the fit in pixels."""
        first = self.placements.first_of(picture)
        code, shares = self.placements.between(first, picture)
        return code, fit_in_pixels(self._load(first), self._load(picture), code, shares)

    def _draw(self, picture: int, scale: int) -> _Drawn:
        key = self.placements.first_of(picture), picture, scale
        if (drawn := self._drawn.get(key)) is not None:
            self._drawn.move_to_end(key)
            return drawn
        code, fit = self._fit(picture)
        turned = np.ascontiguousarray(turn(self._load(picture), INVERSE[code]))
        top, left, values = draw_in_frame(turned, fit.scaled((_STEP**scale,) * 2, (1.0, 1.0)))
        self._drawn[key] = drawn = _Drawn((values.shape[0], values.shape[1]), TiledPicture.of(values, top, left))
        if len(self._drawn) > _MOST_DRAWN:
            self._drawn.popitem(last=False)
        return drawn
