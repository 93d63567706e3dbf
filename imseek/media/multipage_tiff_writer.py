"""Write greyscale pictures as the pages of one TIFF, so that Tesseract reads them in one call."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image


def multipage_tiff(pictures: Sequence[npt.NDArray[np.uint8]]) -> bytes:
    """Write pictures (h, w), one at least, each of its own size, as the pages of one TIFF without compression."""
    pages = [Image.fromarray(picture) for picture in pictures]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    return file.getvalue()
