"""Parse the boxes of ISO base media files (ISO/IEC 14496-12), the container of HEIC, AVIF, JPEG XL and Canon's CR3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

_MAX_BOXES: Final = 10_000  # a large phone picture has hundreds of tiles


class Box(NamedTuple):
    """A box of the four-letter type ``kind``; its content is ``data[start:end]``, where ``end`` may exceed ``data``."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the sibling boxes in ``data[start:end]`` until one is invalid."""
    last = len(data) if end is None else min(end, len(data))
    for _ in range(_MAX_BOXES):
        if last - start < 8:
            return
        size, kind, content = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:  # a size of 64 bits follows
            size, content = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:  # to the end of the file
            size = last - start
        if size < content:
            return
        yield Box(kind, start + content, start + size)
        start += size


def ends_early(data: bytes) -> bool:
    """Tell whether the last box of a file, or its header, extends beyond the end."""
    end = 0
    for box in boxes(data):
        end = box.end
    return end > len(data) or 0 < len(data) - end < 8
