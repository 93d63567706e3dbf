"""Placing images on a map that is there, without moving anything.

An image goes to the weighted mean of its nearest neighbours' places. UMAP's own transform begins there too, with the
weights of its bipartite graph (McInnes et al. 2018, section 3; ``smooth_knn_dist`` and ``compute_membership_strengths``
with a local connectivity of zero): exp(-d/σ), with σ such that all but the nearest add up to log₂ k. But neighbours
often lie in several places, and their mean then lies between, among strangers. So those count for less that lie far
from the nearest one on the map: one step of a mean shift from its place (docs/decisions/0022-maps.md has what else was
tried). An image that is equal to another lies where that one does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.explore.maps.neighbours import Int32
from imseek.types import Float32

Float64 = npt.NDArray[np.float64]

#: The distance on the map at which a neighbour's weight is halved; UMAP's unit, in which its clusters have width 1.
_REACH: Final = 0.3
#: Steps of bisection; UMAP takes as many.
_STEPS: Final = 64
#: Below it two stored vectors count as equal: what float32 leaves of 1 - 1.
EQUAL: Final = 1e-6
#: σ is at least so much of the mean distance of an image.
_LEAST: Final = 1e-3


def weights(distances: Float32) -> Float32:
    """(m, k) ascending distances → (m, k) UMAP's weights, such that they add up to 1 in each row."""
    d = distances.astype(np.float64)
    sigma = _widths(d)
    strength = np.exp(-d / sigma[:, np.newaxis])
    equal = d[:, 0] < EQUAL
    strength[equal] = 0
    strength[equal, 0] = 1
    found: Float32 = (strength / strength.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def placed(positions: Int32, distances: Float32, coordinates: Float32) -> Float32:
    """(m, 2): weighted means of the ``coordinates`` (n, 2) at ``positions`` (m, k), the nearest first."""
    places = coordinates[positions]
    apart = ((places - places[:, :1]) ** 2).sum(axis=2)
    weight = weights(distances) / (1 + apart / _REACH**2)
    found: Float32 = np.einsum("mk,mkc->mc", weight / weight.sum(axis=1, keepdims=True), places)
    return found


def _widths(d: Float64) -> Float64:
    """(m,) σ by bisection."""
    m, k = d.shape
    target = np.log2(k)
    low, high = np.zeros(m), np.full(m, np.inf)
    sigma: Float64 = np.ones(m)
    for _ in range(_STEPS):
        total = np.exp(-d[:, 1:] / sigma[:, np.newaxis]).sum(axis=1)
        above = total > target
        high[above] = sigma[above]
        low[~above] = sigma[~above]
        sigma = np.where(np.isinf(high), 2 * sigma, (low + high) / 2)
    least: Float64 = np.maximum(_LEAST * d.mean(axis=1), 1e-12)
    return np.maximum(sigma, least)
