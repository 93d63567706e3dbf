"""Nearest neighbours among a set of images, by cosine: through the collection's vector index, or all at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.pca import nonzero_rows
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, Matches, Segment, VectorIndex, open_index
from imseek.data.vectors.base import Float16, Ids
from imseek.data.vectors.kmeans import centres_of, nearest_centres
from imseek.errors import CorruptCollectionError, UntrustedCollectionError
from imseek.types.arrays import Float32

#: Images searched at once: 4 MiB of vectors.
BLOCK: Final = 2048
#: Cells for each square root of the number of images, and in how many of them an image's neighbours are looked for: of
#: the 15 nearest of 100,000 hard vectors (bench/vectors.py), .912 are found for a fifth of the exact search's time.
_CELLS: Final = 2
_NEAR_CELLS: Final = 32
#: Images for each cell that its centre is learned from.
_SAMPLE: Final = 40

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
            matches = index.search(rows[short], k + 1, allowed=allowed, exact=exact) if len(short) else []
            is_filled = [
                _fill_row(one, part[at], among, positions[at], distances[at])
                for at, one in zip(short.tolist(), matches, strict=True)
            ]
            short = short[~np.array(is_filled, np.bool_)]
        assert not len(short), "an image without enough neighbours"
        yield part, positions, distances


def find_approximate(vectors: Vectors, ids: Ids, k: int, seed: int) -> Iterator[tuple[Ids, Int32, Float32]]:
    """Yield about the k nearest of ``ids`` for each of them, cell by cell, without the image itself.

    The images are divided into cells by k-means; the neighbours of those in a cell are looked for in the cells whose
    centres are nearest to its own, by one matrix product. Yields positions (m,) in ``ids``, and positions (m, k) in
    ``ids`` and cosine distances (m, k) in [0, 2], ascending. No vector may be zero, and there must be far more than
    ``k`` images. Memory: 2 × dim bytes for each image. Raises MissingExtraError.
    """
    rows = np.empty((len(ids), vectors.dim), np.float16)
    for start in range(0, len(ids), BLOCK):
        rows[start : start + BLOCK] = vectors.of(ids[start : start + BLOCK])
    count = _CELLS * math.isqrt(len(ids))
    sampled = np.random.default_rng(seed).choice(len(ids), min(len(ids), _SAMPLE * count), replace=False)
    sample = np.unique(rows[sampled], axis=0)
    count = min(count, len(sample))
    centres = centres_of(sample.astype(np.float32), count, seed=seed)
    cells = np.concatenate([_nearest(rows[i : i + BLOCK], centres, 1)[0][:, 0] for i in range(0, len(rows), BLOCK)])
    members = np.split(np.argsort(cells, kind="stable"), np.searchsorted(np.sort(cells), np.arange(1, count)))
    order, _ = nearest_centres(centres, centres, count)
    for cell, cell_rows in enumerate(members):
        if not len(cell_rows):
            continue
        sizes = np.cumsum([len(members[other]) for other in order[cell]])
        cell_count = max(_NEAR_CELLS, int(np.searchsorted(sizes, k + 1)) + 1)
        candidates = np.concatenate([members[other] for other in order[cell, :cell_count]])
        at, cosines = _nearest(rows[cell_rows], rows[candidates].astype(np.float32), k + 1)
        yield cell_rows, *_without_self(cell_rows, candidates[at].astype(np.int32), 1 - cosines)


def _nearest(rows: Float16, among: Float32, count: int) -> tuple[Ids, Float32]:
    return nearest_centres(rows.astype(np.float32), among, count)


def _without_self(rows: Ids, positions: Int32, distances: Float32) -> tuple[Int32, Float32]:
    """Drop each image, or else the last, from its list (m, k + 1); a copy of it may stand before it."""
    is_self = positions == rows[:, np.newaxis]
    is_self[~is_self.any(axis=1), -1] = True
    shape = len(rows), positions.shape[1] - 1
    return positions[~is_self].reshape(shape), np.maximum(distances[~is_self], 0).reshape(shape)


def _fill_row(matches: Matches, image_id: int, among: IdSet, positions: Int32, distances: Float32) -> bool:
    """Fill one row; False where too few were found."""
    is_other = matches.ids != image_id
    ids = matches.ids[is_other]
    k = len(positions)
    if len(ids) < k:
        return False
    positions[:] = np.searchsorted(among.ids, ids[:k])
    distances[:] = np.maximum(1 - matches.scores[is_other][:k], 0)
    return True
