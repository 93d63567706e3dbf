"""Local features of pictures: points that can be found again however a picture was turned, moved, scaled or covered.

Points and descriptors are SIFT's (D. G. Lowe, "Distinctive image features from scale-invariant keypoints", 2004) as
OpenCV finds them; descriptors are compared by their square roots (R. Arandjelović, A. Zisserman, "Three things everyone
should know to improve object retrieval", 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.errors import MissingExtraError
from imseek.types.arrays import Float32, Pixels

EXTRA: Final = "copies"
#: Longer side of the picture in which features are found, in pixels; small pictures are enlarged, up to twice.
SIDE: Final = 480
_ENLARGE_BELOW: Final = 320
#: Most features of a picture; lower contrast than OpenCV's usual .04, so that faint drawings have some.
_MOST: Final = 700
_CONTRAST: Final = 0.02
_EDGE: Final = 12.0


@dataclass(frozen=True, slots=True)
class Features:
    """``pixels`` (h, w, 3) and ``luminance`` (h, w) uint8, n ``points`` (n, 2) float32 as x and y in their pixels, unit
    ``descriptors`` (n, 128) float32."""

    pixels: Pixels
    luminance: SmallLuminance
    points: Float32
    descriptors: Float32

    def __len__(self) -> int:
        return len(self.points)

    def mirrored(self) -> Features:
        """Return the features of the mirrored picture."""
        points = self.points.copy()
        points[:, 0] = self.luminance.shape[1] - 1 - points[:, 0]
        pixels, luminance = (np.ascontiguousarray(values[:, ::-1]) for values in (self.pixels, self.luminance))
        return Features(pixels, luminance, points, mirror_descriptors(self.descriptors))


def _mirror_order() -> npt.NDArray[np.int64]:
    """Return where the numbers of a descriptor lie in that of the mirrored picture: SIFT's 4 × 4 cells of 8 directions,
    turned to the direction of the feature."""
    row, column, direction = np.indices((4, 4, 8))
    order: npt.NDArray[np.int64] = (((3 - row) * 4 + column) * 8 + (-direction) % 8).ravel()
    return order


_MIRROR_ORDER: Final = _mirror_order()


def mirror_descriptors(descriptors: Float32) -> Float32:
    """Return the descriptors (n, 128) of the mirrored picture."""
    return np.ascontiguousarray(descriptors[:, _MIRROR_ORDER])


def is_available() -> bool:
    """Whether OpenCV is installed."""
    return find_spec("cv2") is not None


class FeatureDetector:
    """Finds the features of pictures. Raises MissingExtraError."""

    def __init__(self) -> None:
        if not is_available():
            raise MissingExtraError("OpenCV", EXTRA)
        import cv2

        self._cv2: Any = cv2
        self._sift: Any = cv2.SIFT_create(nfeatures=_MOST, contrastThreshold=_CONTRAST, edgeThreshold=_EDGE)

    def find(self, pixels: Pixels) -> Features:
        """Find the features of pixels (h, w, 3) uint8."""
        longer = max(pixels.shape[:2])
        scale = SIDE / longer if longer > SIDE else min(2.0, SIDE / longer) if longer < _ENLARGE_BELOW else 1.0
        if scale != 1.0:
            way = self._cv2.INTER_AREA if scale < 1 else self._cv2.INTER_CUBIC
            pixels = self._cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=way)
        return self._describe(pixels)

    def _describe(self, pixels: Pixels) -> Features:
        luminance = self._cv2.cvtColor(pixels, self._cv2.COLOR_RGB2GRAY)
        keypoints, descriptors = self._sift.detectAndCompute(luminance, None)
        if descriptors is None:
            return Features(pixels, luminance, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
        # The strongest first.
        order = np.argsort([-one.response for one in keypoints], kind="stable")
        points, descriptors = np.array([keypoints[n].pt for n in order], np.float32), descriptors[order]
        sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)
        return Features(pixels, luminance, points, np.sqrt(descriptors / sums).astype(np.float32))
