"""Place new images on a fixed map.

An image goes to the weighted mean of its nearest neighbours' positions, like the start of UMAP's own transform, with
the weights of its bipartite graph (McInnes et al. 2018, section 3; ``smooth_knn_dist`` and
``compute_membership_strengths`` with a local connectivity of zero): exp(-d/σ), with σ such that all but the nearest add
up to log₂ k. But neighbours often lie in several clusters, and their mean falls between them. Those far from the
nearest neighbour on the map are therefore down-weighted: one mean-shift step from its position
(docs/decisions/0022-maps.md lists alternatives tried). An image equal to another lands exactly on it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.analysis.umap_layout import find_sigmas
from imseek.maps.neighbours import Int32
from imseek.types.arrays import Float32

#: Distance on the map at which a neighbour's weight is halved, in UMAP's unit, in which its clusters have width 1.
_REACH: Final = 0.3
#: Vectors closer than this are equal: float32 error of 1 - 1.
EQUAL_DISTANCE: Final = 1e-6


def neighbour_weights(distances: Float32) -> Float32:
    """UMAP's neighbour weights, normalised to 1 in each row: (m, k) ascending distances → (m, k)."""
    d = distances.astype(np.float64)
    sigma = find_sigmas(d[:, 1:], np.log2(d.shape[1]), d.mean(axis=1, keepdims=True))
    strength = np.exp(-d / sigma)
    equal = d[:, 0] < EQUAL_DISTANCE
    strength[equal] = 0
    strength[equal, 0] = 1
    weights: Float32 = (strength / strength.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def place_images(positions: Int32, distances: Float32, coordinates: Float32) -> Float32:
    """Compute positions (m, 2) as weighted means of the ``coordinates`` (n, 2) at ``positions`` (m, k), nearest
    first."""
    places = coordinates[positions]
    apart = ((places - places[:, :1]) ** 2).sum(axis=2)
    weight = neighbour_weights(distances) / (1 + apart / _REACH**2)
    points: Float32 = np.einsum("mk,mkc->mc", weight / weight.sum(axis=1, keepdims=True), places)
    return points
