"""Small luminance pictures, loaded when they are looked at, the last ones kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.errors import ImseekError
from imseek.media import decode
from imseek.types import Pixels

#: (h, w) uint8 luminance.
Small = npt.NDArray[np.uint8]

#: Longer side of what is looked at, in pixels.
SIDE: Final = 160
#: What the pictures kept may take: some ten thousand of them.
KEPT_BYTES: Final = 256 * 2**20
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


class Looks:
    """Looks by position, from ``read``, which gives the bytes of a picture or None where there are none any more.

    What cannot be read or decoded is None. Not for several threads at once.
    """

    def __init__(self, read: Callable[[int], bytes | None], *, kept_bytes: int = KEPT_BYTES) -> None:
        self._read = read
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[int, Small | None] = OrderedDict()
        self._bytes = 0

    def __call__(self, position: int) -> Small | None:
        if position in self._kept:
            self._kept.move_to_end(position)
            return self._kept[position]
        small = self._made(position)
        self._kept[position] = small
        self._bytes += _size(small)
        while self._bytes > self._kept_bytes and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return small

    def _made(self, position: int) -> Small | None:
        try:
            data = self._read(position)
            return None if data is None else look(decode(data, min_side=SIDE, measured=False).pixels)
        except (ImseekError, OSError):
            return None


def look(pixels: Pixels, side: int = SIDE) -> Small:
    """(h, w, 3) uint8 → luminance (ITU-R 601), the longer side ``side`` at most; nothing is enlarged."""
    from imseek.media.resize import resize

    height, width = pixels.shape[:2]
    shrink = min(1.0, side / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = pixels if size == (height, width) else resize(pixels, size)
    luminance: Small = np.rint(small.astype(np.float32) @ _LUMA).astype(np.uint8)
    return luminance


def _size(small: Small | None) -> int:
    return 200 + (0 if small is None else small.nbytes)
