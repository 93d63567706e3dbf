"""Read the text in one picture, given as the bytes of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from imseek.media import decode
from imseek.ocr.recogniser import Recogniser
from imseek.ocr.results import TextLine
from imseek.types.arrays import Pixels

#: Minimum of the shorter side in pixels that pictures are decoded to: to see whether there is text, and to read it.
_LOOK_SIDE: Final = 360
_READ_SIDE: Final = 960
#: A picture that is longer than this, in shorter sides, is read in parts, up to so many; what is beyond them is not.
_MAX_ASPECT: Final = 3.0
_PART_ASPECT: Final = 2.0
_MAX_PARTS: Final = 12


def read_picture(
    data: bytes, recogniser: Recogniser, is_cancelled: Callable[[], bool] = lambda: False
) -> tuple[TextLine, ...]:
    """Decode a picture, upright, and read it. Of an animation, the first frame is read.

    Most pictures have no text: a reduced copy is decoded first, and often nothing else. Raises as
    :func:`imseek.media.decode`.
    """
    decoded = decode(data, min_side=_LOOK_SIDE, measured=False)
    looks = [recogniser.has_text(part) for part, _, _ in _parts(decoded.pixels)]
    if not any(looks):
        return ()
    pixels = decoded.pixels
    if pixels.shape[:2] != (decoded.facts.height, decoded.facts.width):
        pixels = decode(data, min_side=_READ_SIDE, measured=False).pixels
    found: list[TextLine] = []
    is_wide = pixels.shape[1] > pixels.shape[0]
    for (part, start, share), has_text in zip(_parts(pixels), looks, strict=False):
        for line in recogniser.read(part, is_cancelled) if has_text else ():
            if is_wide:
                found.append(replace(line, x=start + line.x * share, width=line.width * share))
            else:
                found.append(replace(line, y=start + line.y * share, height=line.height * share))
    return tuple(found)


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
