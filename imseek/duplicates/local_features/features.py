"""Local features of pictures: points that can be found again however a picture was turned, moved, scaled or covered.

Points and descriptors are SIFT's (D. G. Lowe, "Distinctive image features from scale-invariant keypoints", 2004) as
OpenCV finds them; descriptors are compared by their square roots (R. Arandjelović, A. Zisserman, "Three things everyone
should know to improve object retrieval", 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.errors import MissingExtraError
from imseek.media.opencv import load_opencv
from imseek.types.arrays import Float32, Pixels

EXTRA: Final = "copies"
#: Longer side of the picture in which features are found, in pixels; small pictures are enlarged, up to twice.
SIDE: Final = 480
_ENLARGE_BELOW: Final = 320
#: Most features of a picture, and of those that they are chosen from; lower contrast than OpenCV's usual .04, so that
#: faint drawings have some.
_MOST: Final = 700
_DETECTED: Final = 4_000
_CONTRAST: Final = 0.02
_EDGE: Final = 12.0
#: Quality of the pictures that packed features have, in full colour.
_QUALITY: Final = 95

#: Descriptors (n, 128) as SIFT has them.
Descriptors: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Features:
    """``pixels`` (h, w, 3) and ``luminance`` (h, w) uint8, n ``points`` (n, 2) float32 as x and y in their pixels, and
    their ``descriptors``."""

    pixels: Pixels
    luminance: SmallLuminance
    points: Float32
    descriptors: Descriptors

    def __len__(self) -> int:
        return len(self.points)

    def mirrored(self) -> Features:
        """Return the features of the mirrored picture."""
        points = self.points.copy()
        points[:, 0] = self.luminance.shape[1] - 1 - points[:, 0]
        pixels, luminance = (np.ascontiguousarray(values[:, ::-1]) for values in (self.pixels, self.luminance))
        return Features(pixels, luminance, points, mirror_descriptors(self.descriptors))

    def pack(self) -> PackedFeatures:
        import cv2

        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        _, jpeg = cv2.imencode(".jpg", self.pixels[..., ::-1], options)
        return PackedFeatures(jpeg.tobytes(), self.points, self.descriptors)


@dataclass(frozen=True, slots=True)
class PackedFeatures:
    """Features whose picture is compressed: 100 kB, and that of the picture."""

    jpeg: bytes
    points: Float32
    descriptors: Descriptors

    def unpack(self) -> Features:
        import cv2

        blue_first = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        pixels: Any = cv2.cvtColor(blue_first, cv2.COLOR_BGR2RGB)
        luminance: Any = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return Features(pixels, luminance, self.points, self.descriptors)


def _mirror_order() -> npt.NDArray[np.int64]:
    """Return where the numbers of a descriptor lie in that of the mirrored picture: SIFT's 4 × 4 cells of 8 directions,
    turned to the direction of the feature."""
    row, column, direction = np.indices((4, 4, 8))
    order: npt.NDArray[np.int64] = (((3 - row) * 4 + column) * 8 + (-direction) % 8).ravel()
    return order


_MIRROR_ORDER: Final = _mirror_order()


def mirror_descriptors(descriptors: Descriptors) -> Descriptors:
    """Return the descriptors of the mirrored picture."""
    return np.ascontiguousarray(descriptors[:, _MIRROR_ORDER])


def unit_descriptors(descriptors: Descriptors) -> Float32:
    """Return unit rows (n, 128) float32, whose products tell how like each other descriptors are."""
    rows = descriptors.astype(np.float32)
    unit: Float32 = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-6))
    return unit


def is_available() -> bool:
    """Return whether OpenCV can be loaded."""
    try:
        load_opencv(EXTRA)
    except MissingExtraError:
        return False
    return True


class FeatureDetector:
    """Finds the features of pictures. Raises MissingExtraError."""

    def __init__(self) -> None:
        self._cv2 = cv2 = load_opencv(EXTRA)
        self._sift: Any = cv2.SIFT_create(nfeatures=_DETECTED, contrastThreshold=_CONTRAST, edgeThreshold=_EDGE)

    def find(self, pixels: Pixels) -> Features:
        """Find the features of pixels (h, w, 3) uint8: none where OpenCV cannot take them."""
        try:
            return self._describe(self._resize(pixels))
        except self._cv2.error:
            return _without_features(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8))

    def _resize(self, pixels: Pixels) -> Pixels:
        longer = max(pixels.shape[:2])
        scale = SIDE / longer if longer > SIDE else min(2.0, SIDE / longer) if longer < _ENLARGE_BELOW else 1.0
        if scale == 1.0:
            return pixels
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        way = self._cv2.INTER_AREA if scale < 1 else self._cv2.INTER_CUBIC
        return np.asarray(self._cv2.resize(pixels, (width, height), interpolation=way))

    def _describe(self, pixels: Pixels) -> Features:
        luminance = self._cv2.cvtColor(pixels, self._cv2.COLOR_RGB2GRAY)
        keypoints, descriptors = self._sift.detectAndCompute(luminance, None)
        if descriptors is None:
            return _without_features(pixels, luminance)
        order = _rank_in_octaves(keypoints)[:_MOST]
        points = np.array([keypoints[n].pt for n in order], np.float32)
        # Whole numbers up to 255, which OpenCV returns as float32.
        return Features(pixels, luminance, points, descriptors[order].astype(np.uint8))


def _rank_in_octaves(keypoints: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Return the order of keypoints (n,): the strongest of each octave first. Almost all keypoints of a texture are
    fine ones, and a smaller copy shows none of these."""
    octaves = np.array([one.octave & 255 for one in keypoints])
    responses = np.array([one.response for one in keypoints])
    order = np.lexsort((-responses, octaves))
    starts = np.flatnonzero(np.diff(octaves[order], prepend=-1))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.lexsort((-responses, ranks))


def _without_features(pixels: Pixels, luminance: SmallLuminance) -> Features:
    return Features(pixels, luminance, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
