"""How good copies of one picture are: traces of lossy compression and of enlargement in them.

Pictures are read where they lie, only where that decides which copy to keep, and the results are cached by content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np

from imseek.analysis.originals import Originals
from imseek.data.reader import Reader
from imseek.duplicates.candidates.cache import PartCache, digest
from imseek.duplicates.results import Duplicate
from imseek.errors import ImseekError
from imseek.media import decode
from imseek.media.compression import detail_share, earlier_jpeg_quality, is_enlarged, jpeg_quality

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
_VERSION: Final = 1
#: Columns of the cache: the first half of the content hash, which measure, and its value.
_COLUMNS: Final = (np.uint64, np.uint64, np.int64, np.float64)
_COMPRESSION: Final = 0
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
    """Measures images of one generation. Enter it as a context manager, which stores what was measured at its end, so
    that the next run need not measure again."""

    def __init__(self, reader: Reader) -> None:
        self._originals = Originals(reader)
        self._cache = PartCache(reader.root, digest("quality"))
        self._name = f"{_STAGE}-{digest(_VERSION)}"
        self._known: dict[tuple[int, int, int], float] = {}
        self._loaded = self._changed = False

    def __enter__(self) -> Self:
        self._originals.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._originals.__exit__(kind, error, trace)
        self._save()

    def compression(self, image: Duplicate) -> Compression:
        """Measure the compression of an image of one of the ``MEASURED_FORMATS``."""
        value = self._measure(image, _COMPRESSION, lambda data: _encode(_compression(data, image.format)))
        return Compression(0) if value == _UNKNOWN else Compression(int(value) // 2, bool(int(value) % 2))

    def is_enlarged(self, image: Duplicate, factor: float) -> bool:
        """Return whether an image has no more detail than a copy smaller by ``factor``."""
        thousandths = round(1000 * factor)

        def share(data: bytes) -> float:
            return detail_share(decode(data, measured=False).pixels, thousandths / 1000)

        value = self._measure(image, thousandths, share)
        return value != _UNKNOWN and is_enlarged(value, thousandths / 1000)

    def _save(self) -> None:
        if self._changed:
            keys = np.array(list(self._known), object).reshape(-1, 3)
            values = np.array(list(self._known.values()), np.float64)
            columns = (*(keys[:, n].astype(kind) for n, kind in enumerate(_COLUMNS[:3])), values)
            self._cache.save(self._name, columns)

    def _measure(self, image: Duplicate, what: int, measure: Callable[[bytes], float]) -> float:
        if not self._loaded:
            self._loaded = True
            self._cache.only(_STAGE, {self._name})
            if (stored := self._cache.load(self._name, _COLUMNS)) is not None:
                one, other, kind, value = (column.tolist() for column in stored)
                self._known = dict(zip(zip(one, other, kind, strict=True), value, strict=True))
        key = int(image.content_hash[:16], 16), int(image.content_hash[16:32], 16), what
        if (known := self._known.get(key)) is not None:
            return known
        data = self._originals.read(image.image_id)
        try:
            value = _UNKNOWN if data is None else measure(data)
        except (ImseekError, OSError):
            value = _UNKNOWN
        if value != _UNKNOWN:  # It may be readable again.
            self._known[key] = value
            self._changed = True
        return value


def _compression(data: bytes, name: str) -> Compression:
    own = jpeg_quality(data) if name == "JPEG" else LOSSLESS
    if own is None:
        return Compression(0)
    earlier = earlier_jpeg_quality(decode(data, measured=False).pixels)
    if earlier is None or earlier >= own - _OWN:
        return Compression(own)
    return Compression(earlier, saved_again=True)


def _encode(found: Compression) -> float:
    return float(2 * found.quality + found.saved_again)
