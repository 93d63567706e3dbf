"""Read the text in one picture, given as the bytes of its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from imseek.media import decode
from imseek.ocr.pp_ocr import Recogniser
from imseek.ocr.results import TextLine
from imseek.types.arrays import Pixels

#: Minimum of the shorter side in pixels that pictures are decoded to: enough for a page with 80 lines.
_MIN_SIDE: Final = 960
#: Processor seconds after which no further line is read.
MAX_SECONDS: Final = 30.0
#: Seconds after which Tesseract, a process of its own, reads no further line.
_TESSERACT_SECONDS: Final = 240.0
#: Aspect above which a picture is read in parts, the aspect of a part, and the most parts to read of a picture.
_MAX_ASPECT: Final = 3.0
_PART_ASPECT: Final = 2.0
_MAX_PARTS: Final = 12


def read_picture(
    data: bytes, recogniser: Recogniser, is_cancelled: Callable[[], bool] = lambda: False
) -> tuple[TextLine, ...]:
    """Decode a picture, upright, and read it. Of an animation, the first frame is read.

    Stops after ``MAX_SECONDS``, or when ``is_cancelled``. Raises as :func:`imseek.media.decode`.
    """
    ends = time.thread_time() + MAX_SECONDS  # The networks run in this thread, however busy the machine is.

    def is_over() -> bool:
        return is_cancelled() or time.thread_time() > ends

    tesseract_ends = time.monotonic() + _TESSERACT_SECONDS

    def is_late() -> bool:
        return time.monotonic() > tesseract_ends

    pixels = decode(data, min_side=_MIN_SIDE, measured=False).pixels
    lines: list[TextLine] = []
    is_wide = pixels.shape[1] > pixels.shape[0]
    for part, start, share in _parts(pixels):
        for line in recogniser.read(part, is_over, is_late) if not is_over() and recogniser.has_text(part) else ():
            if is_wide:
                lines.append(replace(line, x=start + line.x * share, width=line.width * share))
            else:
                lines.append(replace(line, y=start + line.y * share, height=line.height * share))
    return tuple(lines)


def _parts(pixels: Pixels) -> Iterator[tuple[Pixels, float, float]]:
    """Cut a long picture, such as a screenshot of a whole page, across its longer side.

    Yields each part with its start and its length as shares of the longer side.
    """
    longer, shorter = max(pixels.shape[:2]), min(pixels.shape[:2])
    if longer <= _MAX_ASPECT * shorter:
        yield pixels, 0.0, 1.0
        return
    length = int(_PART_ASPECT * shorter)
    for start in range(0, longer, length)[:_MAX_PARTS]:
        end = min(start + length, longer)
        part = pixels[:, start:end] if pixels.shape[1] > pixels.shape[0] else pixels[start:end]
        yield np.ascontiguousarray(part), start / longer, (end - start) / longer
