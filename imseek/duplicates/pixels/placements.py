"""Where pictures lie over each other, as known from pairs that were laid over each other, also through others.

If ``b`` lies over ``a`` and ``c`` over ``b``, it is known how ``c`` lies over ``a``. So among many crops of one
photograph, few pairs have to be searched for their common part. Positions are shares of the sides of a picture; maps
from those of one to those of another are matrices (3, 3) of homogeneous coordinates (y, x, 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn_box
from imseek.duplicates.pixels.registration import Registration

Float64: TypeAlias = npt.NDArray[np.float64]
#: Scale and shift down, then those across, from shares of a side of the first picture to those of the second, turned.
ShareFit: TypeAlias = tuple[float, float, float, float]
#: The orientation of the second picture relative to the first, and that fit.
TurnedFit: TypeAlias = tuple[int, ShareFit]


def _turn_matrix(code: int) -> Float64:
    """Return the matrix that maps positions in a picture turned by the inverse of ``code`` to those in the picture."""
    (y0, x0), (y1, x1), (y2, x2) = (turn_box((y, x, y, x), code)[:2] for y, x in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    return np.array([[y1 - y0, y2 - y0, y0], [x1 - x0, x2 - x0, x0], [0, 0, 1]], np.float64)


#: That matrix for each orientation; ``_TURNS_BACK`` holds the inverses of all, (8, 3, 3).
_TURNS: Final = [_turn_matrix(code) for code in range(len(ORIENTATIONS))]
_UNMOVED: Final = np.eye(3)
_TURNS_BACK: Final = np.linalg.inv(np.stack(_TURNS))


class Placements:
    """Sets of pictures whose positions relative to each other are known; at first, each picture is a set of its own."""

    def __init__(self) -> None:
        #: By picture, if it is linked: the first picture of its set, and the matrix that maps positions in that one to
        #: its own, and its inverse where it was needed; and the pictures of each set.
        self._first: dict[int, int] = {}
        self._maps: dict[int, Float64] = {}
        self._back: dict[int, Float64] = {}
        self._sets: dict[int, list[int]] = {}

    def linked(self, a: int, b: int) -> bool:
        """Return whether it is known how ``b`` lies over ``a``."""
        return self.first_of(a) == self.first_of(b)

    def find_forest(self, pairs: Iterable[tuple[int, int, int]]) -> list[int]:
        """Return the names of the first pairs, (name, picture, picture) each, that connect all that can be."""
        connected = DisjointSets()
        return [name for name, a, b in pairs if connected.join(self.first_of(a), self.first_of(b))]

    def link(self, a: int, b: int, registration: Registration, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> bool:
        """Note how ``b`` lies over ``a``; ``shapes`` are those of both pictures. Return whether that is new."""
        return registration.fit is not None and self.link_fit(a, b, fit_in_shares(registration, shapes))

    def link_fit(self, a: int, b: int, fit: TurnedFit) -> bool:
        """Note how ``b`` lies over ``a``, as :meth:`between` says it. Return whether it is new."""
        if self.linked(a, b):
            return False
        a_to_b = _matrix_of(fit)
        survivor, absorbed = self.first_of(a), self.first_of(b)
        between_frames = np.asarray(self._map_back(b) @ a_to_b @ self._map_of(a), np.float64)
        sets = [self._sets.pop(first, [first]) for first in (survivor, absorbed)]
        if len(sets[0]) < len(sets[1]):
            survivor, between_frames = absorbed, np.asarray(np.linalg.inv(between_frames), np.float64)
            sets.reverse()
        for picture in sets[1]:
            self._first[picture] = survivor
            self._maps[picture] = self._map_of(picture) @ between_frames
            self._back.pop(picture, None)
        self._sets[survivor] = sets[0] + sets[1]
        return True

    def between(self, a: int, b: int) -> TurnedFit:
        """Return the orientation of ``b`` relative to ``a``, and the fit; both must be linked."""
        return _fit_of(self._map_of(b) @ self._map_back(a))

    def of_set(self, picture: int) -> Sequence[int]:
        """Return the pictures of the set that a picture belongs to."""
        first = self.first_of(picture)
        return self._sets.get(first, (first,))

    def in_frame(self, picture: int) -> TurnedFit:
        """Return how a picture lies in the frame of its set: relative to the first picture's original position."""
        return _fit_of(self._map_of(picture))

    def move(self, picture: int, onto: int, fit: TurnedFit) -> None:
        """Note that ``picture`` lies over ``onto``, another one of its set, as ``fit`` says, better than was known."""
        self._maps[picture] = _matrix_of(fit) @ self._map_of(onto)
        self._back.pop(picture, None)

    def first_of(self, picture: int) -> int:
        """Return the first picture of the set that a picture belongs to."""
        return self._first.get(picture, picture)

    def _map_of(self, picture: int) -> Float64:
        return self._maps.get(picture, _UNMOVED)

    def _map_back(self, picture: int) -> Float64:
        if picture not in self._back:
            self._back[picture] = np.asarray(np.linalg.inv(self._map_of(picture)), np.float64)
        return self._back[picture]


def fit_in_shares(registration: Registration, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> TurnedFit:
    """Return how the second of two pictures with these ``shapes`` lies over the first; ``registration`` has a fit."""
    assert registration.fit is not None
    (height, width), other_shape = shapes
    tall, wide = other_shape[::-1] if registration.orientation > 3 else other_shape
    fit = registration.fit
    return registration.orientation, (fit.sy * height / tall, fit.ty / tall, fit.sx * width / wide, fit.tx / wide)


def _matrix_of(fit: TurnedFit) -> Float64:
    code, (sy, ty, sx, tx) = fit
    return np.asarray(_TURNS[code] @ np.array([[sy, 0, ty], [0, sx, tx], [0, 0, 1]]), np.float64)


def _fit_of(matrix: Float64) -> TurnedFit:
    fits = _TURNS_BACK @ matrix
    code = int(np.minimum(fits[:, 0, 0], fits[:, 1, 1]).argmax())
    fit = fits[code]
    return code, (float(fit[0, 0]), float(fit[0, 2]), float(fit[1, 1]), float(fit[1, 2]))


def find_overlaps(fit: ShareFit) -> tuple[float, float]:
    """Return the shares of the areas of both pictures that overlap."""
    area = 1.0
    for scale, shift in (fit[:2], fit[2:]):
        area *= max(0.0, min(1.0, (1 - shift) / scale) - max(0.0, -shift / scale))
    return area, min(1.0, area * fit[0] * fit[2])
