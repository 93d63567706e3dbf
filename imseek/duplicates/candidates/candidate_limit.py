"""Choose the candidates to compare by pixels if there are too many to compare all."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.duplicates.candidates.hamming import Bits
from imseek.types.arrays import Float32

#: Default number of candidates compared by pixels: takes about a quarter of an hour.
DEFAULT_LOOKS: Final = 100_000


def select_most_promising(
    distance: Bits, cosine: Float32, near_bits: int, most: int = DEFAULT_LOOKS
) -> npt.NDArray[np.bool_]:
    """Return a mask (n,) of the ``most`` candidates that are likeliest to show the same picture.

    Near hashes come first, nearest first, as unrelated pictures rarely have them; then by cosine, which is also high
    for pictures of the same subject. An unknown ``cosine`` (NaN) comes last.
    """
    if len(distance) <= most:
        return np.ones(len(distance), np.bool_)
    by_hash = np.minimum(distance, np.uint8(near_bits + 1))
    order = np.lexsort((-np.nan_to_num(cosine, nan=-1.0), by_hash))
    is_selected = np.zeros(len(distance), np.bool_)
    is_selected[order[:most]] = True
    return is_selected
