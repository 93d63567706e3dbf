"""Choose the blocks of a large picture that look most like text, for a detector that cannot look at all of it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.types.arrays import Pixels

#: Height and width of a block in pixels, multiples of the detector's stride, and how many are chosen.
BLOCK: Final = (96, 160)
_COUNT: Final = 6
#: Levels over two pixels: more is the edge of a stroke, less is ground.
_STROKE: Final = 40
_GROUND: Final = 8
#: Weight of a block without ground, relative to one that is all ground except for its strokes.
_TEXTURE: Final = 0.2


def choose_blocks(pixels: Pixels) -> Pixels:
    """Return the blocks of (h, w, 3) uint8 that look most like text: (n, 96, 160, 3), n at most 6.

    Writing has steep edges and flat ground between them; grass, gravel and noise have the edges without the ground.
    """
    height, width = pixels.shape[:2]
    tops = np.arange(0, max(1, height - BLOCK[0] // 2), BLOCK[0])
    lefts = np.arange(0, max(1, width - BLOCK[1] // 2), BLOCK[1])
    scores = _score_blocks(pixels, len(tops), len(lefts))
    best = np.argsort(scores, axis=None)[::-1][:_COUNT]
    blocks = np.zeros((len(best), *BLOCK, 3), np.uint8)
    for block, at in zip(blocks, best.tolist(), strict=True):
        top = max(0, min(int(tops[at // len(lefts)]), height - BLOCK[0]))
        left = max(0, min(int(lefts[at % len(lefts)]), width - BLOCK[1]))
        part = pixels[top : top + BLOCK[0], left : left + BLOCK[1]]
        block[: part.shape[0], : part.shape[1]] = part
    return blocks


def _score_blocks(pixels: Pixels, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Score blocks (rows, columns): the share of stroke edges, weighted by the share of background."""
    levels = (pixels[:, :, 0] >> 1) + (pixels[:, :, 1] >> 1)  # two colours do: no writing is told by blue alone
    slopes = np.maximum(levels[:, 2:], levels[:, :-2]) - np.minimum(levels[:, 2:], levels[:, :-2])
    strokes = _sum_blocks(slopes > _STROKE, rows, columns)
    return strokes * (_TEXTURE + _sum_blocks(slopes < _GROUND, rows, columns))


def _sum_blocks(marks: npt.NDArray[np.bool_], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Return the share of marks in each block; pixels beyond the last whole block are ignored."""
    padded = np.zeros((rows * BLOCK[0], columns * BLOCK[1]), np.bool_)
    part = marks[: padded.shape[0], : padded.shape[1]]
    padded[: part.shape[0], : part.shape[1]] = part
    shares: npt.NDArray[np.float64] = padded.reshape(rows, BLOCK[0], columns, BLOCK[1]).mean(axis=(1, 3))
    return shares
