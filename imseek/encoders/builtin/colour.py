"""Measure the share of named colours in a picture, and find colour names in a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.types.arrays import Float32, Pixels

# The eleven basic colour terms of English (Berlin & Kay 1969) with their CSS values, sRGB.
COLOURS: Final = MappingProxyType(
    {
        "black": (0, 0, 0),
        "white": (255, 255, 255),
        "grey": (128, 128, 128),
        "red": (255, 0, 0),
        "green": (0, 128, 0),
        "blue": (0, 0, 255),
        "yellow": (255, 255, 0),
        "orange": (255, 165, 0),
        "purple": (128, 0, 128),
        "pink": (255, 192, 203),
        "brown": (139, 69, 19),
    }
)
SYNONYMS: Final = MappingProxyType({"gray": "grey", "violet": "purple"})
# CIELAB distance at which a colour's membership falls to exp(-1/2).
SIGMA: Final = 20.0

_INDEX: Final = MappingProxyType({name: i for i, name in enumerate(COLOURS)})
_BITS: Final = 5  # per channel: 32,768 cells
_STRIDE: Final = 4  # every fourth pixel of every fourth row is enough


def colour_shares(pixels: Pixels) -> Float32:
    """Return the share of each colour of ``COLOURS``: (n, h, w, 3) uint8 sRGB → (n, 11) float32 rows that sum to 1."""
    cells = (pixels[:, ::_STRIDE, ::_STRIDE] >> (8 - _BITS)).astype(np.intp)
    cells = (cells[..., 0] << 2 * _BITS) | (cells[..., 1] << _BITS) | cells[..., 2]
    means: Float32 = _MEMBERSHIPS.of(cells).mean(axis=(1, 2))
    return means


def named_colours(texts: Sequence[str]) -> Float32:
    """Give equal shares to the colours that each text names: n texts → (n, 11) float32; zeros where it names none."""
    rows = np.zeros((len(texts), len(COLOURS)), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        words = {SYNONYMS.get(word, word) for word in re.findall(r"[a-z]+", text.lower())}
        indices = [_INDEX[word] for word in words if word in _INDEX]
        if indices:
            row[indices] = 1 / len(indices)
    return rows


class _Memberships:
    """The memberships of cells of the sRGB cube in the colours, each computed once it occurs: a picture has few.

    Thread-safe: threads that meet a new cell at once compute the same row.
    """

    def __init__(self) -> None:
        self._rows = np.empty((1 << 3 * _BITS, len(COLOURS)), dtype=np.float32)
        self._is_computed = np.zeros(len(self._rows), dtype=np.bool_)

    def of(self, cells: npt.NDArray[np.intp]) -> Float32:
        """Return (…, 11) float32 rows that sum to 1 for cells (…)."""
        occurring = np.zeros(len(self._is_computed), dtype=np.bool_)
        occurring[cells] = True
        new = np.flatnonzero(occurring & ~self._is_computed)
        if len(new):
            self._rows[new] = _memberships(new)
            self._is_computed[new] = True
        rows: Float32 = self._rows[cells]
        return rows


def _memberships(cells: npt.NDArray[np.intp]) -> Float32:
    """Return (n, 11) float32: the memberships of n cells in the colours; rows sum to 1."""
    channels = np.stack([cells >> 2 * _BITS, cells >> _BITS, cells], axis=-1) & ((1 << _BITS) - 1)
    centres = (channels.astype(np.float64) + 0.5) * (256 >> _BITS)
    focal = np.array(list(COLOURS.values()), dtype=np.float64)
    squares = ((_lab(centres[:, None]) - _lab(focal)) ** 2).sum(axis=-1)
    # Subtract the nearest colour's distance first, so that no cell underflows to zero everywhere.
    weights = np.exp((squares.min(axis=1, keepdims=True) - squares) / (2 * SIGMA**2))
    rows: Float32 = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return rows


_MEMBERSHIPS: Final = _Memberships()


def _lab(srgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert (…, 3) sRGB in [0, 255] to (…, 3) CIELAB under D65 (IEC 61966-2-1, CIE 15)."""
    scaled = srgb / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    lab: npt.NDArray[Any] = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab
