"""The perceptual hash: near duplicates have similar hashes."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from imseek.types.arrays import Pixels

_SIDE: Final = 32  # luminance is reduced to _SIDE x _SIDE
_LOW: Final = 8  # and the _LOW x _LOW lowest frequencies are kept

# Rows of the unscaled DCT-II: C[k, n] = cos(πk(2n + 1) / 2N).
_DCT: Final = np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIDE)[None, :] + 1) / (2 * _SIDE))


def perceptual_hash(pixels: Pixels) -> int:
    """Compute the 64-bit pHash, 0 … 2⁶⁴ − 1, of (h, w, 3) uint8; compare two by :func:`hamming_distance`.

    Reduces luminance (ITU-R 601) to 32 x 32 (Lanczos), applies a two-dimensional DCT-II, and compares the 8 x 8
    coefficients of lowest frequency with their median, row by row, the first being the highest bit. After C. Zauner,
    "Implementation and benchmarking of perceptual image hash functions" (2010), in the variant of the ImageHash
    library, whose ``phash`` gives the same bits.
    """
    return hash_of(Image.fromarray(pixels).convert("L"))


def hash_of(luminance: Image.Image) -> int:
    """Compute the same from a picture's luminance, of mode L."""
    levels = np.asarray(luminance.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    # Rounded, so that coefficients that vanish by symmetry are zero on every machine.
    spectrum = np.round(_DCT @ levels @ _DCT.T, 6)
    # Not np.median, which imports numpy.ma: the mean of the two in the middle, as it computes it.
    bits = spectrum > np.partition(spectrum, (31, 32), axis=None)[31:33].mean()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming_distance(a: int, b: int) -> int:
    """Count the differing bits of two 64-bit hashes; unrelated pictures differ in about 32."""
    return (a ^ b).bit_count()
