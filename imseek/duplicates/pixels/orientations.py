"""The eight orientations of a picture, for arrays and for perceptual hashes, which can be turned without the picture.

Mirroring a picture flips the sign of the odd columns of its DCT-II; turning it upside down, that of the odd rows;
transposing it transposes the spectrum. The stored hash says which of the 64 coefficients exceed their median, which is
near 0, so that flipping a sign flips a bit. As the median is not exactly 0, a derived hash differs from the hash of the
turned picture in 2 bits (median), and for 95 % in at most 8 bits (40 stamps) or 16 (the photographs of scikit-image).
Chessboards and other pictures with few coefficients can differ in any number of bits.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
#: Edges of a rectangle: top, left, bottom, right.
BoxEdges: TypeAlias = tuple[float, float, float, float]

#: Names of the codes 0 … 7: how the second picture is turned relative to the first. Rotation is clockwise, after
#: mirroring.
ORIENTATIONS: Final = (
    "",
    "mirrored",
    "rotated 180",
    "mirrored, rotated 180",
    "mirrored, rotated 270",
    "rotated 90",
    "mirrored, rotated 90",
    "rotated 270",
)
#: The inverse of each code.
INVERSE: Final = (0, 1, 2, 3, 4, 7, 6, 5)

# Whether to transpose, then to reverse rows, then columns.
_STEPS: Final = (
    (False, False, False),
    (False, False, True),
    (False, True, True),
    (False, True, False),
    (True, False, False),
    (True, False, True),
    (True, True, True),
    (True, True, False),
)
# Bits of odd rows and of odd columns; the first row is the highest byte, the first column its highest bit.
_ODD_ROWS: Final = np.uint64(0x00FF00FF00FF00FF)
_ODD_COLUMNS: Final = np.uint64(0x5555555555555555)
# Transpose an 8 x 8 bit matrix by three block swaps (H. S. Warren, Hacker's Delight, 7-3).
_SWAPS: Final = (
    (np.uint64(7), np.uint64(0x00AA00AA00AA00AA)),
    (np.uint64(14), np.uint64(0x0000CCCC0000CCCC)),
    (np.uint64(28), np.uint64(0x00000000F0F0F0F0)),
)


def turn(picture: npt.NDArray[Any], code: int) -> npt.NDArray[Any]:
    """Turn a picture (h, w, …) by a code 0 … 7, as a view; codes 4 … 7 give (w, h, …)."""
    transposed, rows, columns = _STEPS[code]
    turned = picture.swapaxes(0, 1) if transposed else picture
    return turned[:: -1 if rows else 1, :: -1 if columns else 1]


def turn_box(box: BoxEdges, code: int) -> BoxEdges:
    """Turn a rectangle (top, left, bottom, right), in shares of the sides of a picture, with the picture."""
    transposed, rows, columns = _STEPS[code]
    top, left, bottom, right = box
    if transposed:
        top, left, bottom, right = left, top, right, bottom
    if rows:
        top, bottom = 1 - bottom, 1 - top
    if columns:
        left, right = 1 - right, 1 - left
    return top, left, bottom, right


def turn_hashes(hashes: Hashes, code: int) -> Hashes:
    """Approximate the hashes of pictures turned by ``code``, (n,) uint64. 0 (unknown) stays 0."""
    transposed, rows, columns = _STEPS[code]
    turned = hashes.copy()
    if transposed:
        for distance, mask in _SWAPS:
            part = (turned ^ (turned >> distance)) & mask
            turned ^= part ^ (part << distance)
    if rows:
        turned ^= _ODD_ROWS
    if columns:
        turned ^= _ODD_COLUMNS
    turned[hashes == 0] = 0
    return turned
