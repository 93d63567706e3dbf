"""The vectors of all live images in one space, read from the shards in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Float16, Ids, IdSet
from imseek.data.vectors.range_search import StoredRows
from imseek.data.vectors.scores import unit_rows
from imseek.errors import CorruptCollectionError, UsageError
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Rows per block: 16 MiB of float32 at 512 dimensions.
BLOCK: Final = 8192


class Vectors:
    """Vectors of the live images of a generation in one space, by default the one that text queries search.

    ``allowed`` restricts the ids. ``ids`` (n,) int64 are ascending. Reads of the mapped files stay bounded. Memory: 12
    bytes for each image. Raises StaleGenerationError, CorruptCollectionError.
    """

    def __init__(self, reader: Reader, space: SpaceInfo | None = None, allowed: IdSet | None = None) -> None:
        self.reader = reader
        self.space = reader.current.space if space is None else space
        segments = reader.segments(self.space.space_id)
        parts = [segment.ids[segment.searchable(allowed)] for segment in segments]
        self.ids: Ids = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
        self._rows = StoredRows(segments, self.space.dim)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """The dimension of the space."""
        return self.space.dim

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Float32]]:
        """Yield all vectors in blocks of ``size``: the slice of ``ids``, and unit rows (m, dim)."""
        for start in range(0, len(self.ids), size):
            part = slice(start, min(start + size, len(self.ids)))
            yield part, self.of(self.ids[part])
        self._rows.release()

    def of(self, ids: Ids) -> Float32:
        """Return unit rows (m, dim) float32 of live images in the given order; a row of zeros stays zeros.

        Raises CorruptCollectionError for a vector that is not finite.
        """
        rows = self.stored_rows(ids)
        if not np.isfinite(rows).all():
            raise CorruptCollectionError(
                f"a vector of {self.space.encoder} is not finite",
                hint=f"imseek collection verify {self.reader.root}",
            )
        return unit_rows(rows)

    def stored_rows(self, ids: Ids) -> Float16:
        """Return rows (m, dim) of live images exactly as stored, unchecked."""
        found_ids, rows = self._rows.of(np.asarray(ids, np.int64))
        assert len(found_ids) == len(ids), "an image without a vector"
        return rows

    def at(self, positions: Ids) -> Float32:
        """Return unit rows (m, dim) of the images at these positions of ``ids``."""
        return self.of(self.ids[positions])

    def positions(self, ids: Ids) -> Ids:
        """Return the position of each id (m,), -1 for ids that are not in this set."""
        at = np.searchsorted(self.ids, ids)
        inside = np.minimum(at, max(0, len(self.ids) - 1))
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        return np.where(self.ids[inside] == ids, inside, -1)


def image_space(reader: Reader, number: int | None) -> SpaceInfo:
    """Return the space of images with the id ``number``, by default the one that text queries search.

    Raises UsageError.
    """
    spaces = {space.space_id: space for space in reader.current.image_spaces}
    if number is None:
        return reader.current.space
    if number not in spaces:
        available = ", ".join(f"{i} ({space.encoder})" for i, space in spaces.items())
        raise UsageError(f"no space {number} of images", hint=f"there is {available}")
    return spaces[number]
