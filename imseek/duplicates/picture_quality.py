"""How good copies of one picture are: traces of lossy compression and of enlargement in them.

Pictures are read where they lie, only where that decides which copy to keep, and the results are cached by content.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.duplicates.part_cache import CacheTable, PartCache, digest
from imseek.duplicates.results import Duplicate
from imseek.errors import ImseekError
from imseek.media import decode
from imseek.media.compression_traces import earlier_jpeg_quality, is_enlarged, jpeg_quality
from imseek.types.arrays import Pixels

#: Formats whose files show what they have lost: JPEG, and those that lose nothing themselves.
MEASURED_FORMATS: Final = frozenset({"JPEG", "PNG", "TIFF", "BMP"})
#: Quality of pictures without loss.
LOSSLESS: Final = 101
#: What saving a picture again takes from its quality.
_SAVED_AGAIN: Final = 5
#: Smaller differences are not worth what else tells copies apart, nor are those between qualities that leave no trace.
_STEP: Final = 5
_GOOD: Final = 90
#: A trace in the pixels of a JPEG is its own, not that of an earlier one, if it is at most so much below.
_OWN: Final = 5
_STAGE: Final = "quality"
#: Increase when measures may give other results; this invalidates the cache.
_VERSION: Final = 2
#: Columns of a key in the cache: the first half of the content hash, and which measure.
_KEYS: Final = (np.uint64, np.uint64, np.int64)
_COMPRESSION: Final = 0
_STATED: Final = -1
_UNKNOWN: Final = -1.0


@dataclass(frozen=True, slots=True)
class Compression:
    """Quality of a picture's compression: 1 to 100 as libjpeg counts, 101 without loss, 0 if it cannot be read.

    If ``saved_again``, it was decoded from a JPEG of that quality, and saved anew.
    """

    quality: int
    saved_again: bool = False

    @property
    def step(self) -> int:
        """The quality in steps of five, less one step for saving it again; from 90 on all is the same."""
        return min(_GOOD, self.quality - _SAVED_AGAIN * self.saved_again) // _STEP

    def __str__(self) -> str:
        if self.saved_again:
            return f"saved again from quality {self.quality}"
        if not self.quality:
            return "not readable"
        return "stored without loss" if self.quality == LOSSLESS else f"stored at quality {self.quality}"


class QualityReader:
    """Measures images of the collection at ``root``; :meth:`save` stores what was measured for the next run. ``read``
    returns the bytes of an image by its id, or None. Thread-safe if ``read`` is."""

    def __init__(self, root: Path, read: Callable[[int], bytes | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        cache = PartCache(root, digest("quality"))
        self._table = CacheTable(cache, f"{_STAGE}-{digest(_VERSION)}", _KEYS, (np.float64,), stage=_STAGE)

    def compression(self, image: Duplicate) -> Compression:
        """Measure the compression of an image of one of the ``MEASURED_FORMATS``."""

        def compression(data: bytes) -> float:
            measured = _compression(data, image.format, decode(data, measured=False).pixels)
            return float(2 * measured.quality + measured.saved_again)

        value = self._measure(image, _COMPRESSION, compression)
        return Compression(0) if value == _UNKNOWN else Compression(int(value) // 2, bool(int(value) % 2))

    def stated_compression(self, image: Duplicate) -> Compression:
        """Return the compression that an image's file states, without decoding it: an upper bound of what is
        measured."""
        value = self._measure(image, _STATED, lambda data: float(_stated_quality(data, image.format)))
        return Compression(0 if value == _UNKNOWN else int(value))

    def is_enlarged(self, image: Duplicate, factor: float) -> bool:
        """Return whether an image has no more detail than a copy smaller by ``factor``. A drawing of lines has no
        pixels to be enlarged."""
        if image.format == "SVG":
            return False
        thousandths = round(1000 * factor)

        def enlarged(data: bytes) -> float:
            pixels = decode(data, measured=False).pixels
            return float(
                is_enlarged(pixels, thousandths / 1000, lambda: _compression(data, image.format, pixels).quality)
            )

        return self._measure(image, thousandths, enlarged) == 1

    def save(self) -> None:
        self._table.save()

    def _measure(self, image: Duplicate, kind: int, measure: Callable[[bytes], float]) -> float:
        key = int(image.content_hash[:16], 16), int(image.content_hash[16:32], 16), kind
        with self._lock:
            cached = self._table.get(*key)
        if cached is not None:
            return float(cached[0])
        data = self._read(image.image_id)
        try:
            value = _UNKNOWN if data is None else measure(data)
        except (ImseekError, OSError):
            value = _UNKNOWN
        if value != _UNKNOWN:  # It may be readable again.
            with self._lock:
                self._table.put(*key, row=(value,))
        return value


def _stated_quality(data: bytes, name: str) -> int:
    return (jpeg_quality(data) or 0) if name == "JPEG" else LOSSLESS


def _compression(data: bytes, name: str, pixels: Pixels) -> Compression:
    if not (quality := _stated_quality(data, name)):
        return Compression(0)
    earlier = earlier_jpeg_quality(pixels)
    if earlier is None or earlier >= quality - _OWN:
        return Compression(quality)
    return Compression(earlier, saved_again=True)
