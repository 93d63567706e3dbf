"""Nearest neighbours among a set of images, by cosine, through the collection's vector index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.pca import nonzero_rows
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, Matches, Segment, VectorIndex, open_index
from imseek.data.vectors.base import Ids
from imseek.errors import CorruptCollectionError, UntrustedCollectionError
from imseek.types.arrays import Float32

#: Images searched at once: 4 MiB of vectors.
BLOCK: Final = 2048

Int32: TypeAlias = npt.NDArray[np.int32]


def index_of(reader: Reader, vectors: Vectors, among: IdSet) -> VectorIndex:
    """Open a vector index to search among these images.

    This is the collection's index, approximate where there is a snapshot; a damaged snapshot is ignored. If these are
    fewer than half of all images, an exact index of them alone is faster; it takes 2 × dim bytes for each. Raises
    MissingExtraError.
    """
    space = vectors.space
    if 2 * len(among) < reader.current.images:
        rows = np.empty((len(among), space.dim), np.float16)
        for start in range(0, len(among), BLOCK):
            rows[start : start + BLOCK] = vectors.of(among.ids[start : start + BLOCK])
        return open_index("faiss", [Segment(among.ids, rows, np.empty(0, np.int64))], space.dim)
    try:
        snapshot = reader.snapshot(space.space_id)
    except (CorruptCollectionError, UntrustedCollectionError):
        snapshot = None
    return open_index("faiss", reader.segments(space.space_id), space.dim, snapshot=snapshot)


def find_nearest(
    index: VectorIndex, vectors: Vectors, ids: Ids, among: IdSet, k: int
) -> Iterator[tuple[Ids, Int32, Float32]]:
    """Yield the k nearest of ``among`` for each of ``ids``, in blocks, without the image itself.

    Yields ids (m,), positions (m, k) in ``among.ids`` and cosine distances (m, k) in [0, 2], ascending. Images with a
    zero vector are left out. ``among`` must hold ``k`` others of each.
    """
    allowed = None if len(among) == len(index) else among
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK]
        rows = vectors.of(part)
        has = nonzero_rows(rows)
        part, rows = part[has], rows[has]
        positions = np.empty((len(part), k), np.int32)
        distances = np.empty((len(part), k), np.float32)
        short = np.arange(len(part))
        for exact in (False, True):  # An approximate index may find fewer.
            found = index.search(rows[short], k + 1, allowed=allowed, exact=exact) if len(short) else []
            filled = [
                _fill_row(one, part[at], among, positions[at], distances[at])
                for at, one in zip(short.tolist(), found, strict=True)
            ]
            short = short[~np.array(filled, np.bool_)]
        assert not len(short), "an image without enough neighbours"
        yield part, positions, distances


def _fill_row(found: Matches, own: int, among: IdSet, positions: Int32, distances: Float32) -> bool:
    """Fill one row; False where too few were found."""
    others = found.ids != own
    ids = found.ids[others]
    k = len(positions)
    if len(ids) < k:
        return False
    positions[:] = np.searchsorted(among.ids, ids[:k])
    distances[:] = np.maximum(1 - found.scores[others][:k], 0)
    return True
