"""Resampling for encoders, which import no Pillow of their own."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from imseek.types import Pixels

_FILTERS: Final = {"bicubic": Resampling.BICUBIC, "bilinear": Resampling.BILINEAR}


def resize(
    pixels: Pixels, size: tuple[int, int], *, interpolation: Literal["bicubic", "bilinear"] = "bicubic"
) -> Pixels:
    """(h, w, 3) uint8 → (size[0], size[1], 3) uint8, antialiased. ``size`` is (height, width). Thread-safe.

    Pillow's filters, since the published encoders were trained behind them: others (OpenCV's, torch's without
    antialiasing) move vectors visibly.
    """
    height, width = size
    return np.asarray(Image.fromarray(pixels).resize((width, height), _FILTERS[interpolation]))
