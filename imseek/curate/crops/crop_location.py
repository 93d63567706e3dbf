"""Where in a picture another one may lie, whole or with its edges cut off: a quick look before the pixel check.

The part is laid over the picture at each of a row of scales and each place (:mod:`imseek.curate.pixels.correlation`),
on a grid so coarse that a few milliseconds do. What it finds is judged by :mod:`imseek.curate.pixels.registration` on
finer grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.curate.pixels.correlation import Searched
from imseek.curate.pixels.resampling import Look, resized

#: Longer side of the grid, in pixels.
GRID: Final = 64
#: Edges of the part on the grid, from the largest that fits down to this share of that, in steps.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(30))
#: A part of fewer pixels than this on the grid says nothing.
_LEAST: Final = 7
#: Grey levels (standard deviation) of a window that shows nothing.
_NOISE: Final = 4.0
#: Side of the squares in which corners are looked for; what makes one, as a share of the variance, and at least.
_SQUARE: Final = 16
_CORNER: Final = 0.002
_FAINT: Final = 1.0
#: Pictures longer or wider than this many times the other side are looked for by their middle as well: collages cut
#: pictures to the shape of their cells.
_SQUARE_ENOUGH: Final = 1.12


@dataclass(frozen=True, slots=True)
class Location:
    """``correlation`` of the part with what lies in the box, −1 … 1: ``top``, ``left``, ``bottom``, ``right`` as shares
    of the picture's sides. ``whole`` tells whether it is that of all of the part, or of the square in its middle."""

    correlation: float
    top: float
    left: float
    bottom: float
    right: float
    whole: bool

    @property
    def share(self) -> float:
        """Of the picture's area."""
        return (self.bottom - self.top) * (self.right - self.left)

    def of_all(self, part: Look) -> Location:
        """Where all of the part lies whose middle has been found here, as far as it is within the picture."""
        side = min(part.shape)
        down, right = ((edge / side - 1) / 2 for edge in part.shape)
        height, width = self.bottom - self.top, self.right - self.left
        top, bottom = max(0.0, self.top - down * height), min(1.0, self.bottom + down * height)
        left, right_edge = max(0.0, self.left - right * width), min(1.0, self.right + right * width)
        return Location(self.correlation, top, left, bottom, right_edge, whole=True)


def corners(part: Look) -> int:
    """In how many squares of 16 × 16 pixels there is something that fits in one place only.

    That is a corner or texture: an edge can be shifted along itself, and a crop that shows no more than one lies
    anywhere. The lesser eigenvalue of the structure tensor tells them apart (J. Shi, C. Tomasi, "Good features to
    track", 1994); it is asked for a share of the picture's own variance, so that dark pictures have corners too.
    """
    down, right = np.gradient(part)
    yy, xx, xy = (_by_squares(np.asarray(one)) for one in (down * down, right * right, down * right))
    least = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return int(np.count_nonzero(least >= max(_FAINT, _CORNER * float(part.var()))))


def _by_squares(values: np.ndarray) -> np.ndarray:
    """Means over squares; what is left over at two edges is left out."""
    rows, columns = (max(1, side // _SQUARE) for side in values.shape)
    h, w = (min(side, _SQUARE) for side in values.shape)
    means: np.ndarray = values[: rows * h, : columns * w].reshape(rows, h, columns, w).mean(axis=(1, 3))
    return means


class Ground:
    """A picture in which others are looked for; what they have in common is computed once."""

    def __init__(self, picture: Look) -> None:
        shrink = min(1.0, GRID / max(picture.shape))
        small = resized(picture, *(max(_LEAST, round(side * shrink)) for side in picture.shape))
        self._shape = small.shape
        self._searched = Searched(small, _NOISE)

    def locate(self, part: Look) -> Location:
        """The best place of a part, of the same proportions or of the square in its middle."""
        found = self._best(part, whole=True)
        if max(part.shape) > _SQUARE_ENOUGH * min(part.shape):
            side = min(part.shape)
            top, left = ((edge - side) // 2 for edge in part.shape)
            middle = self._best(part[top : top + side, left : left + side], whole=False)
            # All of it, unless that is clearly worse.
            found = max(found, middle, key=lambda one: one.correlation - 0.05 * (not one.whole))
        return found

    def _best(self, part: Look, *, whole: bool) -> Location:
        height, width = self._shape
        largest = min(height / part.shape[0], width / part.shape[1])
        edges = [tuple(round(side * largest * scale) for side in part.shape) for scale in _SCALES]
        sizes = [(min(h, height), min(w, width)) for h, w in dict.fromkeys(edges) if min(h, w) >= _LEAST]
        best = Location(-1.0, 0.0, 0.0, 1.0, 1.0, whole)
        for peak in self._searched.peaks(part, sizes):
            if peak.correlation > best.correlation:
                top, left = peak.top / height, peak.left / width
                bottom, right = (peak.top + peak.height) / height, (peak.left + peak.width) / width
                best = Location(peak.correlation, top, left, bottom, right, whole)
        return best
