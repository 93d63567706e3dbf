"""NaFlex preprocessing: keep the aspect ratio, and give the image tower a varying number of patches.

Tschannen et al. 2025, "SigLIP 2", section 2.4.2: a picture is resized so that its proportions stay nearly the same and
it has at most a given number of patches. So a panorama is not squeezed into a square.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from imseek.errors import UsageError
from imseek.types.arrays import Pixels

#: Bytes of the first row of a prepared picture that hold the rows and columns of its grid, two bytes each.
GRID_BYTES: Final = 4
_BYTE: Final = 256


@dataclass(frozen=True, slots=True)
class PatchPreprocessing:
    """Preprocessing parameters, part of an encoder's fingerprint.

    A picture becomes at most ``patches`` squares of ``patch`` pixels a side. ``size`` is the side of a square picture
    of that many patches; ``mean`` and ``std`` are per channel, for values in [0, 1].
    """

    patch: int
    patches: int
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def size(self) -> int:
        return math.isqrt(self.patches) * self.patch

    @property
    def resized(self) -> None:
        """None: there is no crop."""
        return

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of a prepared picture: a row for the grid, then one for each patch, each of (patch, patch, 3)."""
        return self.patches + 1, self.patch * self.patch * 3

    def record(self) -> dict[str, Any]:
        """Return the fields by name, and the size, for fingerprints and ``EncoderInfo.preprocessing``."""
        return {"size": self.size, **asdict(self)}

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 to (patches + 1, patch · patch · 3) uint8. Pure and thread-safe.

        The first row holds the grid; rows that the picture does not fill are zero. Whatever its proportions, the
        picture is never resized to more pixels than ``patches`` patches have.
        """
        from imseek.media.resize import resize  # here, so that a text query loads no Pillow

        rows, columns = _grid(*pixels.shape[:2], self.patch, self.patches)
        side = self.patch
        resized = resize(pixels, (rows * side, columns * side), interpolation=self.interpolation)
        prepared = np.zeros(self.shape, dtype=np.uint8)
        prepared[0, :GRID_BYTES] = (rows // _BYTE, rows % _BYTE, columns // _BYTE, columns % _BYTE)
        squares = resized.reshape(rows, side, columns, side, 3).transpose(0, 2, 1, 3, 4)
        prepared[1 : rows * columns + 1] = squares.reshape(rows * columns, -1)
        return prepared

    def check(self, batch: np.ndarray[Any, Any]) -> None:
        """Raise UsageError unless ``batch`` is a stack of ``prepare`` results."""
        if not isinstance(batch, np.ndarray):
            raise UsageError(f"pictures are an array, not {type(batch).__name__}")
        fits = batch.dtype == np.uint8 and batch.shape[1:] == self.shape
        if not fits or not self._has_grids(batch):
            raise UsageError(
                f"pictures are an array (n, {self.shape[0]}, {self.shape[1]}) of uint8, with the grid in the first row "
                f"of each, not {batch.shape} of {batch.dtype}",
                hint="stack what the encoder's prepare gives",
            )

    def _has_grids(self, batch: Pixels) -> bool:
        counts = patch_counts(batch)
        return bool(((counts > 0) & (counts <= self.patches)).all())


def patch_counts(batch: Pixels) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of patches that each of (n, ·, ·) prepared pictures has."""
    grid = batch[:, 0, :GRID_BYTES].astype(np.int64)
    counts: np.ndarray[Any, np.dtype[np.int64]] = (grid[:, 0] * _BYTE + grid[:, 1]) * (grid[:, 2] * _BYTE + grid[:, 3])
    return counts


@functools.lru_cache(maxsize=4096)
def _grid(height: int, width: int, patch: int, patches: int) -> tuple[int, int]:
    """Return the rows and columns of the grid, rounded as transformers does, as in training."""
    from transformers.models.siglip2.image_processing_siglip2 import get_image_size_for_max_num_patches

    rows, columns = (side // patch for side in get_image_size_for_max_num_patches(height, width, patch, patches))
    # Its search ends at the least scale; a strip that is longer still has one row of all patches.
    return (rows, columns) if rows * columns <= patches else (min(rows, patches), max(1, patches // rows))
