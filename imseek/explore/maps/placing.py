"""Placing images on a map that is there, without moving anything: where UMAP's own transform begins.

An image goes to the weighted mean of its nearest neighbours' places. The weights are those of UMAP's bipartite graph
(McInnes et al. 2018, section 3; ``smooth_knn_dist`` and ``compute_membership_strengths`` with a local connectivity of
zero): exp(-d/σ), with σ such that all but the nearest add up to log₂ k. One that is equal lies where its equal does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.explore.maps.neighbours import Int32
from imseek.types import Float32

Float64 = npt.NDArray[np.float64]

#: Steps of bisection; UMAP takes as many.
_STEPS: Final = 64
#: Below it two stored vectors count as equal: what float32 leaves of 1 - 1.
EQUAL: Final = 1e-6
#: σ is at least so much of the mean distance of an image.
_LEAST: Final = 1e-3


def weights(distances: Float32) -> Float32:
    """(m, k) ascending distances → (m, k) weights that add up to 1 in each row."""
    d = distances.astype(np.float64)
    sigma = _widths(d)
    strength = np.exp(-d / sigma[:, np.newaxis])
    equal = d[:, 0] < EQUAL
    strength[equal] = 0
    strength[equal, 0] = 1
    found: Float32 = (strength / strength.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def placed(positions: Int32, distances: Float32, coordinates: Float32) -> Float32:
    """(m, 2): weighted means of the ``coordinates`` (n, 2) at ``positions`` (m, k)."""
    found: Float32 = np.einsum("mk,mkc->mc", weights(distances), coordinates[positions])
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
