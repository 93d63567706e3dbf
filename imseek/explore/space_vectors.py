"""The vectors of all live images of one space, read from the shards a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Float16, Ids, IdSet
from imseek.data.vectors.range_search import Rows
from imseek.data.vectors.scores import unit_rows
from imseek.errors import CorruptCollectionError
from imseek.types import Float32, SpaceInfo

#: Rows that are read at the same time: 16 MiB of float32 at 512 dimensions.
BLOCK: Final = 8192


class Vectors:
    """Of the live images of a generation, or of those whose id is ``allowed``, in one space (by default that which
    words are searched in).

    ``ids`` (n,) int64, ascending. What is read of the mapped files stays bounded; memory: 12 bytes for each image.
    Raises StaleGenerationError, CorruptCollectionError.
    """

    def __init__(self, reader: Reader, space: SpaceInfo | None = None, allowed: IdSet | None = None) -> None:
        self.reader = reader
        self.space = reader.current.space if space is None else space
        segments = reader.segments(self.space.space_id)
        parts = [segment.ids[segment.searchable(allowed)] for segment in segments]
        self.ids: Ids = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
        self._rows = Rows(segments, self.space.dim)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return self.space.dim

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Float32]]:
        """All of them by position, ``size`` at a time: where they are in ``ids``, and their unit rows (m, dim)."""
        for start in range(0, len(self.ids), size):
            part = slice(start, min(start + size, len(self.ids)))
            yield part, self.of(self.ids[part])
        self._rows.release()

    def of(self, ids: Ids) -> Float32:
        """Unit rows (m, dim) float32 of live images, in the order asked for; zeros for a row of zeros."""
        rows = self.stored(ids)
        if not np.isfinite(rows).all():
            raise CorruptCollectionError(
                f"a vector of {self.space.encoder} is not finite",
                hint=f"imseek collection verify {self.reader.root}",
            )
        return unit_rows(rows)

    def stored(self, ids: Ids) -> Float16:
        """The rows (m, dim) of live images as they are stored, sound or not."""
        found, rows = self._rows.of(np.asarray(ids, np.int64))
        assert len(found) == len(ids), "an image without a vector"
        return rows

    def at(self, positions: Ids) -> Float32:
        """Unit rows (m, dim) of the images at these positions of ``ids``."""
        return self.of(self.ids[positions])

    def positions(self, ids: Ids) -> Ids:
        """(m,): at which position each of ``ids`` is, -1 for those that are not among these images."""
        at = np.searchsorted(self.ids, ids)
        inside = np.minimum(at, max(0, len(self.ids) - 1))
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        return np.where(self.ids[inside] == ids, inside, -1)
