"""Principal components of stored vectors, as a quick map and as the start of UMAP. NumPy only.

The covariance is accumulated in blocks, exactly and in one pass for any number of images. At a few hundred dimensions,
its eigenvectors are cheap enough that a randomised method would not pay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imseek.blas_threads import one_blas_thread
from imseek.types.arrays import Float32

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Principal axes: ``mean`` (dim,) and orthonormal ``axes`` (count, dim), by falling variance; float32."""

    mean: Float32
    axes: Float32

    def project(self, rows: Float32) -> Float32:
        """Project rows: (m, dim) → (m, count)."""
        # Not BLAS, whose last digit depends on the number of threads.
        return np.asarray(np.einsum("md,cd->mc", rows - self.mean, self.axes), np.float32)


def principal_axes(blocks: Iterable[Float32], dim: int, count: int = 2) -> Axes:
    """Find the ``count`` axes of largest variance; each sign makes the largest component positive.

    Rows of zeros (images without a vector) are ignored. Where vectors vary along fewer axes, the rest are zeros.
    Memory: 16 bytes × dim² besides a block.
    """
    total: Float64 = np.zeros(dim, np.float64)
    products: Float64 = np.zeros((dim, dim), np.float64)
    n = 0
    # One thread: with two, sums differ in the last digit, which is enough for UMAP to produce another map.
    with one_blas_thread():
        for block in blocks:
            rows = block[nonzero_rows(block)]
            total += rows.sum(axis=0, dtype=np.float64)
            # float32 sums over a few thousand unit rows are accurate to six digits; their total is kept in float64.
            products += rows.T @ rows
            n += len(rows)
        mean: Float64 = total / max(n, 1)
        covariance = products / max(n, 1) - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
    axes = np.zeros((count, dim))
    for at in range(min(count, dim)):
        if values[-1 - at] > 1e-7:  # Smaller values are rounding errors of equal vectors.
            axis = vectors[:, -1 - at]
            axes[at] = axis * (1 if axis[np.abs(axis).argmax()] > 0 else -1)
    return Axes(mean.astype(np.float32), axes.astype(np.float32))


def nonzero_rows(rows: Float32) -> npt.NDArray[np.bool_]:
    """Return which rows (m,) are not all zeros."""
    return np.asarray(rows.any(axis=1), np.bool_)
