"""Principal components of stored vectors: a first look, and where UMAP begins. NumPy only.

The covariance is summed up in blocks, which is exact in one reading whatever the number of images: at a few hundred
dimensions its eigenvectors cost less than a randomised method would save.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imseek.types import Float32

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """``mean`` (dim,) and ``axes`` (count, dim), orthonormal, by falling variance; float32."""

    mean: Float32
    axes: Float32

    def project(self, rows: Float32) -> Float32:
        """(m, dim) → (m, count)."""
        # Not BLAS, whose last digit depends on the number of threads.
        return np.asarray(np.einsum("md,cd->mc", rows - self.mean, self.axes), np.float32)


def principal(blocks: Iterable[Float32], dim: int, count: int = 2) -> Axes:
    """The ``count`` axes along which rows differ most. The sign of each is such that its largest part is positive.

    Rows of zeros (an image without a vector) do not count. Where vectors have fewer dimensions, or differ along fewer,
    the remaining axes are zeros. Memory: 16 bytes × dim² beside a block.
    """
    total: Float64 = np.zeros(dim, np.float64)
    products: Float64 = np.zeros((dim, dim), np.float64)
    n = 0
    # In one thread: with two, sums differ in the last digit, and UMAP makes another map of what differs so little.
    with threadpool_limits(1, user_api="blas"):
        for block in blocks:
            rows = block[known(block)]
            total += rows.sum(axis=0, dtype=np.float64)
            # Of a few thousand unit rows float32 sums are good to six digits; all of them are added up in float64.
            products += rows.T @ rows
            n += len(rows)
        mean: Float64 = total / max(n, 1)
        covariance = products / max(n, 1) - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
    axes = np.zeros((count, dim))
    for at in range(min(count, dim)):
        if values[-1 - at] > 1e-7:  # Below is what rounding leaves of vectors that are equal.
            axis = vectors[:, -1 - at]
            axes[at] = axis * (1 if axis[np.abs(axis).argmax()] > 0 else -1)
    return Axes(mean.astype(np.float32), axes.astype(np.float32))


def known(rows: Float32) -> npt.NDArray[np.bool_]:
    """(m,): which rows are not all zeros."""
    return np.asarray(rows.any(axis=1), np.bool_)
