"""Choose the candidates to compare by pixels if there are too many to compare all."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.duplicates.candidates.hamming import Bits
from imseek.types.arrays import Float32

#: Default number of candidates compared by pixels: takes about a quarter of an hour.
DEFAULT_LOOKS: Final = 100_000
#: Unrelated pictures hardly ever have hashes that differ in so few bits, even among millions. With more bits they do:
#: a million pictures have some 300,000 pairs at 10 bits by chance, with a median cosine of .44.
_RARELY_BY_CHANCE: Final = 6
#: What a near hash counts beside the cosine.
_NEAR_HASH: Final = 0.2
#: Of 7,200 copies among 3,000 drawings and photographs, sixteen have hashes that differ in more bits and a cosine that
#: is lower by this than the least one that proposes a pair.
_FAR_BELOW: Final = 0.3


def select_most_promising(
    distance: Bits, cosine: Float32, near_bits: int, near_cosine: float, most: int = DEFAULT_LOOKS
) -> npt.NDArray[np.bool_]:
    """Return a mask (n,) of the ``most`` candidates that are likeliest to show the same picture, or of all if there are
    no more.

    Hashes that differ in at most 6 bits come first, nearest first; then all others by cosine, which is also high for
    pictures of the same subject, plus .2 for hashes within ``near_bits``. An unknown ``cosine`` (NaN) counts as -1:
    then those with near hashes are nearest first, too. Those of more than 6 bits whose cosine is far below
    ``near_cosine`` are left out, even if there is room for them: most are near by chance.
    """
    if len(distance) <= most:
        return np.ones(len(distance), np.bool_)
    certain_bits = min(near_bits, _RARELY_BY_CHANCE)
    by_hash = np.minimum(distance, np.uint8(certain_bits + 1))
    promise = np.nan_to_num(cosine, nan=-1.0) + np.where(distance <= near_bits, np.float32(_NEAR_HASH), 0)
    order = np.lexsort((distance, -promise, by_hash))
    is_selected = np.zeros(len(distance), np.bool_)
    is_selected[order[:most]] = True
    return is_selected & ~((distance > certain_bits) & (cosine < near_cosine - _FAR_BELOW))
