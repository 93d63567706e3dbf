"""A sprite sheet: many small pictures of one size in one PNG, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from imseek.media.thumbnails import fit
from imseek.types.arrays import Pixels

_PAPER: Final = "#ffffff"
_MISSING: Final = "#b8b8b6"


class Sprite:
    """A square sheet with room for ``count`` tiles of ``side`` pixels.

    Tiles that are never pasted stay grey, and space without a tile is white. Memory: 3 bytes per pixel of the sheet.
    """

    def __init__(self, count: int, side: int) -> None:
        self.side = side
        self.columns = columns_of(count)
        self._sheet = Image.new("RGB", (self.columns * side, self.columns * side), _PAPER)
        for position in range(count):
            self._sheet.paste(_MISSING, self._box(position))

    def paste(self, position: int, tile: Pixels) -> None:
        """Paste ``make_tile``, (h, w, 3) uint8 and no larger than its square, centred on white."""
        left, top, right, bottom = self._box(position)
        self._sheet.paste(_PAPER, (left, top, right, bottom))
        height, width = tile.shape[:2]
        at = (left + (self.side - width) // 2, top + (self.side - height) // 2)
        self._sheet.paste(Image.fromarray(tile), at)

    def save(self, path: Path) -> None:
        self._sheet.save(path, "PNG", compress_level=6)

    def _box(self, position: int) -> tuple[int, int, int, int]:
        row, column = divmod(position, self.columns)
        left, top = column * self.side, row * self.side
        return left, top, left + self.side, top + self.side


def make_tile(data: bytes, side: int) -> Pixels:
    """Decode a picture as (h, w, 3) uint8 that fits into a square of ``side`` pixels. Raises MediaError."""
    import numpy as np

    from imseek.media.decode import decode

    return np.array(fit(decode(data, min_side=side, measured=False).pixels, side))


def columns_of(count: int) -> int:
    """Return the side of the smallest square grid with room for ``count`` tiles."""
    columns = 1
    while columns * columns < count:
        columns += 1
    return columns
