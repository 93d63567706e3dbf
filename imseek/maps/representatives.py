"""Representative images from every part of a map."""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.data.vectors.base import Ids
from imseek.types.arrays import Float32

#: The finest grid has 2 to this power cells a side.
_MAX_LEVEL: Final = 10


def choose_representatives(coordinates: Float32, count: int) -> Ids:
    """Choose at most ``count`` representative points of ``coordinates`` (n, 2), most representative first.

    Grids of 1, 2, 4 … cells a side are laid over the map. In each cell without a choice yet, the image nearest to the
    mean of the cell is taken, fullest cell first. Every prefix of the list therefore covers the map evenly. Returns
    positions (m,).
    """
    n = len(coordinates)
    count = min(count, n)
    low = coordinates.min(axis=0) if n else np.zeros(2, np.float32)
    size = float((coordinates - low).max(initial=0)) or 1.0
    scaled = (coordinates - low).astype(np.float64) / size
    is_chosen = np.zeros(n, np.bool_)
    chosen: list[Ids] = []
    for level in range(_MAX_LEVEL + 1):
        if is_chosen.sum() >= count:
            break
        picks = _choose_per_cell(scaled, is_chosen, 1 << level)
        chosen.append(picks)
        is_chosen[picks] = True
    chosen.append(np.flatnonzero(~is_chosen))
    return np.concatenate(chosen)[:count]


def _choose_per_cell(scaled: np.ndarray, is_chosen: np.ndarray, side: int) -> Ids:
    at = np.minimum((scaled * side).astype(np.int64), side - 1)
    _, cell, counts = np.unique(at[:, 1] * side + at[:, 0], return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(cell, scaled[:, axis]) / counts for axis in (0, 1)], axis=1)
    apart = ((scaled - means[cell]) ** 2).sum(axis=1)
    order = np.lexsort((apart, cell))
    first = order[np.searchsorted(cell[order], np.arange(len(counts)))]
    empty = np.bincount(cell, is_chosen, minlength=len(counts)) == 0
    picks: Ids = first[empty][np.argsort(-counts[empty], kind="stable")]
    return picks
