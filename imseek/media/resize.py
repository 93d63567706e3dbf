"""Resampling for encoders, which do not import Pillow themselves."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from imseek.types.arrays import Pixels

_FILTERS: Final = {"bicubic": Resampling.BICUBIC, "bilinear": Resampling.BILINEAR}


def as_image(pixels: Pixels) -> Image.Image:
    """Return (h, w, 3) uint8 as an image of Pillow, which libraries of encoders take."""
    return Image.fromarray(pixels)


def resize(
    pixels: Pixels, size: tuple[int, int], *, interpolation: Literal["bicubic", "bilinear"] = "bicubic"
) -> Pixels:
    """Resize (h, w, 3) uint8 with antialiasing; ``size`` is (height, width). Thread-safe.

    Uses Pillow's filters, with which the published encoders were trained: others (OpenCV's, torch's without
    antialiasing) move vectors visibly.
    """
    height, width = size
    return np.asarray(Image.fromarray(pixels).resize((width, height), _FILTERS[interpolation]))
