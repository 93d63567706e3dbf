"""Arrays that packages exchange."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

#: Ids of images.
Ids: TypeAlias = npt.NDArray[np.int64]
Float32: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[np.uint8]


class ImageVectors(NamedTuple):
    """Vectors of images: the ``ids`` (n,) int64, and the ``vectors`` (n, dim) float32, unit rows, in the same order."""

    ids: Ids
    vectors: Float32
