"""The canonical preprocessing record: how decoded pixels become the square that an image tower takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from imseek.types import Pixels

# A longer strip is cut to its middle first: resampled whole to a short side of 224, one row of 60,000 pixels
# would become 13 million pixels wide, for a crop that keeps 224 of them.
_LONGEST_STRIP = 32


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Part of an encoder's fingerprint, since vectors made behind different records are not comparable.

    ``resize`` brings a picture to a square of ``size`` pixels: ``squash`` regardless of its proportions;
    ``shortest`` by its shorter side, then the central square; ``longest`` by its longer side, then centred on
    ``fill``. ``mean`` and ``std`` are per channel, for values in [0, 1]. Where ``resized`` is given, the picture is
    first brought to a square of that side, and the middle ``size`` pixels of it are kept (timm's ``crop_pct``).
    The rounding rules are open_clip's (``open_clip.transform.image_transform_v2``), with which a test compares
    every mode.
    """

    size: int
    resize: Literal["squash", "shortest", "longest"]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: int = 0
    resized: int | None = None

    def square(self, pixels: Pixels) -> Pixels:
        """(h, w, 3) uint8 → (size, size, 3) uint8. Pure and thread-safe.

        Bytes and not normalised floats, so that a queue of decoded pictures takes a quarter of the memory.
        """
        from imseek.media.resize import resize  # here, so that a query by text loads no Pillow

        if self.resize == "shortest":
            pixels = _cut_strip(pixels)
        return _central_square(
            resize(pixels, self._resized(pixels.shape[:2]), interpolation=self.interpolation),
            self.size,
            self.fill,
        )

    def record(self) -> dict[str, Any]:
        """The fields by name, for fingerprints and ``EncoderInfo.preprocessing``.

        ``resized`` is left out where it says nothing: fingerprints made before it was there stay what they were.
        """
        return {name: value for name, value in asdict(self).items() if name != "resized" or value is not None}

    def _resized(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = shape
        side = self.resized or self.size
        if self.resize == "squash":
            return side, side
        if self.resize == "shortest":  # torchvision truncates the longer side
            if height < width:
                return side, int(side * width / height)
            return int(side * height / width), side
        ratio = max(height, width) / side  # timm rounds, and may round a thin strip to nothing
        return max(1, round(height / ratio)), max(1, round(width / ratio))


def _cut_strip(pixels: Pixels) -> Pixels:
    """``pixels`` without the ends of a strip that is more than ``_LONGEST_STRIP`` times longer than wide."""
    for axis in (0, 1):
        longest = _LONGEST_STRIP * pixels.shape[1 - axis]
        start = max(0, pixels.shape[axis] - longest) // 2
        pixels = pixels[start : start + longest] if axis == 0 else pixels[:, start : start + longest]
    return pixels


def _central_square(pixels: Pixels, size: int, fill: int) -> Pixels:
    """The middle of ``pixels``, (size, size, 3), on ``fill`` where ``pixels`` is smaller."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    top, left = max(0, round((height - size) / 2)), max(0, round((width - size) / 2))
    kept = pixels[top : top + size, left : left + size]
    if kept.shape[:2] == (size, size):
        return kept
    square = np.full((size, size, 3), fill, dtype=np.uint8)
    top, left = (size - kept.shape[0]) // 2, (size - kept.shape[1]) // 2
    square[top : top + kept.shape[0], left : left + kept.shape[1]] = kept
    return square
