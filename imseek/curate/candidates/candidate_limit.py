"""Which candidates two pictures are read for, where there are too many to look at all of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.curate.candidates.hamming import Bits
from imseek.types import Float32

#: So many candidates are looked at, unless told: about a quarter of an hour.
LOOKS: Final = 100_000


def most_promising(
    distance: Bits, cosine: Float32, near_bits: int, most: int = LOOKS
) -> npt.NDArray[np.bool_]:
    """(n,): the ``most`` of n candidates that are likeliest to show the same picture.

    First those whose hashes are near, the nearest first, since of unrelated pictures hardly any are; then by cosine, in
    which pictures of one subject are near each other too. A ``cosine`` of NaN (not known) comes last.
    """
    if len(distance) <= most:
        return np.ones(len(distance), np.bool_)
    by_hash = np.minimum(distance, np.uint8(near_bits + 1))
    order = np.lexsort((-np.nan_to_num(cosine, nan=-1.0), by_hash))
    chosen = np.zeros(len(distance), np.bool_)
    chosen[order[:most]] = True
    return chosen
