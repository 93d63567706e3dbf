"""Trustworthiness of a map: whether neighbours on the map are neighbours by vector."""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.types.arrays import Float32

#: Number of neighbours, and of images sampled.
NEIGHBOURS: Final = 10
SAMPLE: Final = 2_000


def trustworthiness(rows: Float32, coordinates: Float32, k: int = NEIGHBOURS) -> float:
    """Venna & Kaski 2001, eq. 1, for unit ``rows`` (n, dim) by cosine and ``coordinates`` (n, 2) by distance.

    1 where the ``k`` nearest on the map of every image are its k nearest by vector; a random map gets about .5. ``k``
    must be below n / 2, else ValueError. Memory: 24 bytes × n².
    """
    n = len(rows)
    if not 0 < k < n / 2:
        raise ValueError(f"{k} neighbours among {n}")
    by_vector = _order(-rows @ rows.T)
    rank = np.empty((n, n), np.int32)
    np.put_along_axis(rank, by_vector, np.arange(n, dtype=np.int32)[np.newaxis], axis=1)
    squares = (coordinates.astype(np.float64) ** 2).sum(axis=1)
    apart = squares[:, np.newaxis] + squares - 2 * coordinates.astype(np.float64) @ coordinates.T.astype(np.float64)
    by_map = _order(apart)[:, 1 : k + 1]
    # The image itself has rank 0, the nearest 1.
    beyond = np.maximum(np.take_along_axis(rank, by_map, axis=1) - k, 0)
    return float(1 - 2 / (n * k * (2 * n - 3 * k - 1)) * beyond.sum())


def _order(distances: np.ndarray) -> np.ndarray:
    """Sort others by distance in each row (n, n), the image itself first."""
    np.fill_diagonal(distances, -np.inf)
    return np.argsort(distances, axis=1, kind="stable")
