"""The canonical preprocessing record: how decoded pixels become an image tower's square input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from imseek.encoders.input_checks import check_pictures
from imseek.types.arrays import Pixels

# Longer strips are cut to their middle first: resampled whole to a short side of 224, one row of 60,000 pixels would
# become 13 million pixels wide, for a crop that keeps 224 of them.
_LONGEST_STRIP = 32

# Fields that came later than fingerprints.
_LATER = ("resized", "crop_down")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing parameters, part of an encoder's fingerprint: vectors with different records are not comparable.

    ``resize`` brings a picture to a square of ``size`` pixels: ``squash`` ignores its proportions; ``shortest`` scales
    its shorter side, then crops the central square; ``longest`` scales its longer side, then centres it on ``fill``.
    ``mean`` and ``std`` are per channel, for values in [0, 1]. With ``resized``, the picture is first brought to a
    square of that side, and its central ``size`` pixels are kept (timm's ``crop_pct``). Rounding follows open_clip
    (``open_clip.transform.image_transform_v2``); a test compares every mode. ``crop_down`` is transformers' rounding: a
    crop that cannot be central begins half a pixel before the centre.
    """

    size: int
    resize: Literal["squash", "shortest", "longest"]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: int = 0
    resized: int | None = None
    crop_down: bool = False

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 to (size, size, 3) uint8. Pure and thread-safe.

        Returns bytes rather than normalised floats, so that a queue of decoded pictures takes a quarter of the memory.
        """
        from imseek.media.resize import resize  # here, so that a text query loads no Pillow

        if self.resize == "shortest":
            pixels = cut_strip(pixels)
        resized = resize(pixels, self._resized(pixels.shape[:2]), interpolation=self.interpolation)
        return _central_square(resized, self.size, self.fill, down=self.crop_down)

    def check(self, batch: np.ndarray[Any, Any]) -> None:
        """Raise UsageError unless ``batch`` is a stack of ``prepare`` results."""
        check_pictures(batch, self.size)

    def record(self) -> dict[str, Any]:
        """Return the fields by name, for fingerprints and ``EncoderInfo.preprocessing``.

        Omits ``resized`` and ``crop_down`` where they are not set, so that fingerprints from before them stay valid.
        """
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value not in (None, False)}

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


def cut_strip(pixels: Pixels) -> Pixels:
    """Cut the ends off a strip that is more than ``_LONGEST_STRIP`` times longer than wide."""
    for axis in (0, 1):
        longest = _LONGEST_STRIP * pixels.shape[1 - axis]
        start = max(0, pixels.shape[axis] - longest) // 2
        pixels = pixels[start : start + longest] if axis == 0 else pixels[:, start : start + longest]
    return pixels


def _central_square(pixels: Pixels, size: int, fill: int, *, down: bool) -> Pixels:
    """Crop the centre of ``pixels`` to (size, size, 3), on a background of ``fill`` where ``pixels`` is smaller."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    top, left = (max(0, (side - size) // 2 if down else round((side - size) / 2)) for side in (height, width))
    crop = pixels[top : top + size, left : left + size]
    if crop.shape[:2] == (size, size):
        return crop
    square = np.full((size, size, 3), fill, dtype=np.uint8)
    top, left = (size - crop.shape[0]) // 2, (size - crop.shape[1]) // 2
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return square
