"""Load small luminance pictures on demand, and cache the latest ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.errors import ImseekError
from imseek.media import decode
from imseek.types.arrays import Pixels

#: (h, w) uint8 luminance.
SmallLuminance = npt.NDArray[np.uint8]

#: Longer side of the luminance pictures, in pixels.
SIDE: Final = 160
#: Size limit of the cache: some 2,500 pictures, more than those of a batch. Twice as much would spare a million small
#: pictures 3 % of what is decoded.
CACHE_BYTES: Final = 64 * 2**20
_LUMA_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)


class LuminanceCache:
    """Cache of small luminance pictures by position. Thread-safe if ``read`` is.

    ``read`` returns the bytes of a picture, or None if there are none any more. Unreadable pictures are None.
    """

    def __init__(self, read: Callable[[int], bytes | None], *, kept_bytes: int = CACHE_BYTES) -> None:
        self._read = read
        self._max_bytes = kept_bytes
        self._cache: OrderedDict[int, SmallLuminance | None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, position: int) -> SmallLuminance | None:
        with self._lock:
            if position in self._cache:
                self._cache.move_to_end(position)
                return self._cache[position]
        small = self._load(position)
        with self._lock:
            if position not in self._cache:
                self._bytes += _size(small)
            self._cache[position] = small
            while self._bytes > self._max_bytes and len(self._cache) > 1:
                self._bytes -= _size(self._cache.popitem(last=False)[1])
        return small

    def _load(self, position: int) -> SmallLuminance | None:
        try:
            data = self._read(position)
            if data is None:
                return None
            return to_luminance(decode(data, min_side=SIDE, measured=False, preview=True).pixels)
        except (ImseekError, OSError):
            return None


def to_luminance(pixels: Pixels, side: int = SIDE) -> SmallLuminance:
    """Convert pixels (h, w, 3) uint8 to luminance (ITU-R 601), shrunk to a longer side of at most ``side``; never
    enlarged."""
    from imseek.media.resize import resize

    height, width = pixels.shape[:2]
    shrink = min(1.0, side / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = pixels if size == (height, width) else resize(pixels, size)
    luminance: SmallLuminance = np.rint(small.astype(np.float32) @ _LUMA_WEIGHTS).astype(np.uint8)
    return luminance


def _size(small: SmallLuminance | None) -> int:
    return 200 + (0 if small is None else small.nbytes)
