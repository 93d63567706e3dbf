"""Locate where another picture may lie in a picture, whole or cropped: a quick search before the pixel check.

The part is laid over the picture at a range of scales and all positions
(:mod:`imseek.duplicates.pixels.template_search`), on so coarse a grid that it takes a few milliseconds.
:mod:`imseek.duplicates.pixels.registration` judges the result on finer grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.duplicates.pixels.resampling import Luminance, resize_luminance
from imseek.duplicates.pixels.template_search import CorrelationSearch

#: Longer side of the grid, in pixels.
GRID: Final = 64
#: Sizes of the part on the grid, relative to the largest that fits.
_SCALES: Final = tuple(float(scale) for scale in 0.955 ** np.arange(30))
#: Smallest meaningful side of a part on the grid, in pixels.
_LEAST: Final = 7
#: Standard deviation of a blank window, in grey levels.
_NOISE: Final = 4.0
#: Side of the squares searched for corners; threshold of a corner as a share of the variance, and its minimum.
_SQUARE: Final = 16
_CORNER: Final = 0.002
_FAINT: Final = 1.0
#: Pictures with a larger aspect ratio are also located by their central square, as collages crop pictures to the
#: shape of their cells.
_MAX_ASPECT: Final = 1.12


@dataclass(frozen=True, slots=True)
class Location:
    """Box of a part in a picture, and the ``correlation`` of the part with its content, −1 … 1.

    ``top``, ``left``, ``bottom``, ``right`` are shares of the picture's sides. ``whole`` tells whether the box is that
    of the whole part, or of its central square.
    """

    correlation: float
    top: float
    left: float
    bottom: float
    right: float
    whole: bool

    @property
    def share(self) -> float:
        """Share of the picture's area."""
        return (self.bottom - self.top) * (self.right - self.left)

    def of_all(self, part: Luminance) -> Location:
        """Extend the location of the central square to the whole ``part``, clipped to the picture."""
        side = min(part.shape)
        down, right = ((edge / side - 1) / 2 for edge in part.shape)
        height, width = self.bottom - self.top, self.right - self.left
        top, bottom = max(0.0, self.top - down * height), min(1.0, self.bottom + down * height)
        left, right_edge = max(0.0, self.left - right * width), min(1.0, self.right + right * width)
        return Location(self.correlation, top, left, bottom, right_edge, whole=True)


def count_corner_squares(part: Luminance) -> int:
    """Count the squares of 16 × 16 pixels with a feature that fits in one place only: a corner or texture.

    An edge can be shifted along itself, so a crop with no more than an edge matches anywhere. The smaller eigenvalue of
    the structure tensor distinguishes them (J. Shi, C. Tomasi, "Good features to track", 1994); its threshold is
    relative to the picture's own variance, so that dark pictures have corners too.
    """
    if min(part.shape) < 2:
        return 0
    down, right = np.gradient(part)
    yy, xx, xy = (_square_means(np.asarray(one)) for one in (down * down, right * right, down * right))
    least = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return int(np.count_nonzero(least >= max(_FAINT, _CORNER * float(part.var()))))


def _square_means(values: np.ndarray) -> np.ndarray:
    """Average over squares; the remainder at two edges is ignored."""
    rows, columns = (max(1, side // _SQUARE) for side in values.shape)
    h, w = (min(side, _SQUARE) for side in values.shape)
    means: np.ndarray = values[: rows * h, : columns * w].reshape(rows, h, columns, w).mean(axis=(1, 3))
    return means


class CropLocator:
    """A picture to search for others in; work common to all searches is done once."""

    def __init__(self, picture: Luminance) -> None:
        shrink = min(1.0, GRID / max(picture.shape))
        small = resize_luminance(picture, *(max(_LEAST, round(side * shrink)) for side in picture.shape))
        self._shape = small.shape
        self._search = CorrelationSearch(small, _NOISE)

    def locate(self, part: Luminance) -> Location:
        """Return the best location of a part, by the whole part or by its central square."""
        best = self._best(part, whole=True)
        if max(part.shape) > _MAX_ASPECT * min(part.shape):
            side = min(part.shape)
            top, left = ((edge - side) // 2 for edge in part.shape)
            middle = self._best(part[top : top + side, left : left + side], whole=False)
            # Prefer the whole part, unless it is clearly worse.
            best = max(best, middle, key=lambda one: one.correlation - 0.05 * (not one.whole))
        return best

    def _best(self, part: Luminance, *, whole: bool) -> Location:
        height, width = self._shape
        largest = min(height / part.shape[0], width / part.shape[1])
        edges = [tuple(round(side * largest * scale) for side in part.shape) for scale in _SCALES]
        sizes = [(min(h, height), min(w, width)) for h, w in dict.fromkeys(edges) if min(h, w) >= _LEAST]
        best = Location(-1.0, 0.0, 0.0, 1.0, 1.0, whole)
        for peak in self._search.peaks(part, sizes):
            if peak.correlation > best.correlation:
                top, left = peak.top / height, peak.left / width
                bottom, right = (peak.top + peak.height) / height, (peak.left + peak.width) / width
                best = Location(peak.correlation, top, left, bottom, right, whole)
        return best
