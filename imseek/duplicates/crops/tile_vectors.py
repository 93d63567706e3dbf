"""Vectors of tiles of pictures, cached in the collection so that none is encoded twice.

They are keyed by content hash, so that they survive moves, copies and re-indexing. The cache is optional: damaged or
missing entries are encoded again, and if nothing can be written the work is done all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.files.array_cache import CacheFolder
from imseek.duplicates.part_cache import digest
from imseek.duplicates.unique_contents import Digests
from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import available_cpus
from imseek.errors import MediaError
from imseek.indexer.decode_stage import unit_rows
from imseek.indexer.ordered_map import OrderedMap
from imseek.media.decode import decode
from imseek.progress import SILENT, Task
from imseek.types.arrays import Pixels

Float16: TypeAlias = npt.NDArray[np.float16]

#: Left, top, width and height of a tile, as shares of the picture's sides.
Tile: TypeAlias = tuple[float, float, float, float]

#: Number of pictures whose tiles are encoded and cached together.
BLOCK: Final = 32
#: Time limit for reading and decoding one picture, in seconds.
DEADLINE: Final = 60.0


def overlapping_tiles(side: float) -> tuple[Tile, ...]:
    """Return five tiles with this share of the sides: in the corners and in the centre."""
    rest = 1 - side
    corners = ((0.0, 0.0), (rest, 0.0), (0.0, rest), (rest, rest), (rest / 2, rest / 2))
    return tuple((left, top, side, side) for left, top in corners)


def grid_tiles(count: int) -> tuple[Tile, ...]:
    """Return ``count`` × ``count`` adjacent tiles."""
    return tuple((x / count, y / count, 1 / count, 1 / count) for y in range(count) for x in range(count))


#: Chosen on half A of bench/inside_set.py; docs/log.md has the results of each kind, of both, and of all eleven
#: tried.
TILES: Final = (*overlapping_tiles(0.6), *grid_tiles(3))


@dataclass(frozen=True, slots=True, eq=False)
class TileVectors:
    """``at`` (m,) are positions in the input, ``rows`` (m, tiles, dim) float16 unit rows, all zeros if encoding
    failed."""

    at: npt.NDArray[np.int64]
    rows: Float16


class TileStore:
    """Cached tile vectors of one encoder (``fingerprint``) and one set of tiles.

    ``root`` is the collection's folder; None disables the cache. Memory: a little over 32 bytes per cached picture.
    """

    def __init__(self, root: Path | None, fingerprint: str, dim: int, tiles: Sequence[Tile] = TILES) -> None:
        self._shape = (len(tiles), dim)
        key = digest(fingerprint, tuple(tiles))
        self._folder = None if root is None else CacheFolder(root, f"tiles/{key}")
        self._locations: dict[bytes, tuple[str, int]] = {}
        self._open: tuple[str, Float16] | None = None
        for file in () if self._folder is None else self._folder.files():
            if file.endswith(".npz") and (hashes := self._read(file, "hashes")) is not None:
                self._locations.update({one.tobytes(): (file, n) for n, one in enumerate(hashes)})

    def __contains__(self, content_hash: bytes) -> bool:
        return content_hash in self._locations

    def get(self, content_hash: bytes) -> Float16 | None:
        """Return the rows (tiles, dim) of a picture; None if missing or damaged."""
        if (location := self._locations.get(content_hash)) is None:
            return None
        file, n = location
        if self._open is None or self._open[0] != file:
            rows = self._read(file, "rows")
            if rows is None:
                self._locations = {key: at for key, at in self._locations.items() if at[0] != file}
                return None
            self._open = (file, rows)
        rows = self._open[1]
        return rows[n] if n < len(rows) else None

    def add(self, hashes: Digests, rows: Float16) -> None:
        """Store the rows (m, tiles, dim) of pictures."""
        if self._folder is None or not len(hashes):
            return
        file = f"{digest(hashes)}.npz"
        if self._folder.write(file, {"hashes": hashes, "rows": rows}):
            self._locations.update({one.tobytes(): (file, n) for n, one in enumerate(hashes)})

    def _read(self, file: str, name: str) -> npt.NDArray[Any] | None:
        kind, shape = (np.uint8, (32,)) if name == "hashes" else (np.float16, self._shape)
        if self._folder is None or (arrays := self._folder.read(file, name)) is None:
            return None
        (array,) = arrays
        return array if array.dtype == kind and array.shape[1:] == shape else None


class TileEncoder:
    """Yields the tile vectors of pictures, from the cache if possible.

    ``read`` returns the bytes of the n-th picture, or None; it is called from several threads. ``missing`` holds the
    pictures that could not be read.
    """

    def __init__(
        self,
        store: TileStore,
        encoder: Encoder,
        read: Callable[[int], bytes | None],
        tiles: Sequence[Tile] = TILES,
    ) -> None:
        self._store, self._encoder, self._read, self._tiles = store, encoder, read, tuple(tiles)
        self.missing: set[int] = set()
        self.encoded = 0

    def __call__(self, hashes: Digests, task: Task = SILENT) -> Iterator[TileVectors]:
        """Yield blocks for the pictures with these content hashes, in order.

        Ends early if the task is cancelled; blocks yielded by then are cached.
        """
        for start in range(0, len(hashes), BLOCK):
            if task.is_cancelled:
                return
            block = range(start, min(start + BLOCK, len(hashes)))
            rows_by_position = {n: self._store.get(hashes[n].tobytes()) for n in block}
            self._encode(hashes, [n for n in block if rows_by_position[n] is None], rows_by_position)
            available = {n: rows for n, rows in rows_by_position.items() if rows is not None}
            if available:
                yield TileVectors(np.array(list(available), np.int64), np.stack(list(available.values())))

    def _encode(self, hashes: Digests, positions: Sequence[int], rows_by_position: dict[int, Float16 | None]) -> None:
        encoded: dict[int, Float16] = {}
        workers = available_cpus()
        preparer: OrderedMap[int, list[npt.NDArray[Any]]] = OrderedMap(
            self._prepare_tiles, workers=workers, lookahead=2 * workers, deadline=DEADLINE, late=lambda _: []
        )
        for n, tiles in zip(positions, preparer(positions) if positions else (), strict=True):
            if not tiles:
                self.missing.add(n)
                continue
            rows = unit_rows(self._encoder, tiles)
            zeros = np.zeros(self._encoder.info.dim, np.float16)
            encoded[n] = np.stack([zeros if isinstance(row, str) else row for row in rows])
            self.encoded += len(rows)
        if encoded:
            self._store.add(hashes[list(encoded)], np.stack(list(encoded.values())))
            rows_by_position.update(encoded)

    def _prepare_tiles(self, n: int) -> list[npt.NDArray[Any]]:
        """Return the tiles of a picture, prepared for the encoder; empty if the picture cannot be read."""
        try:
            if (data := self._read(n)) is None:
                return []
            pixels = decode(data, min_side=2 * self._encoder.info.image_size, measured=False).pixels
        except (MediaError, OSError):
            return []
        return [self._encoder.prepare(cut_tile(pixels, tile)) for tile in self._tiles]


def cut_tile(pixels: Pixels, tile: Tile) -> Pixels:
    """Cut out a tile, of at least 8 pixels a side if the picture is large enough."""
    height, width = pixels.shape[:2]
    top, left = round(tile[1] * height), round(tile[0] * width)
    bottom, right = round((tile[1] + tile[3]) * height), round((tile[0] + tile[2]) * width)
    return np.ascontiguousarray(pixels[top : max(bottom, top + 8), left : max(right, left + 8)])
