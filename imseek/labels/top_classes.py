"""The most probable classes of many vectors, in tiles of images × classes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.labels.logit_scale import Scale
from imseek.types.arrays import Float32

#: A tile: 32 MiB of float32.
TILE_ROWS: Final = 2048
TILE_CLASSES: Final = 4096

Int32 = npt.NDArray[np.int32]


def find_top_classes(
    rows: Float32, classes: Float32, offsets: Float32, scale: Scale, k: int, *, multi: bool
) -> tuple[Int32, Float32]:
    """Find the ``k`` most probable of (c, dim) classes for (n, dim) unit rows: (n, k) indexes and (n, k) probabilities.

    With ``offsets`` (c,) float32, the logit of a class is ``factor`` · (cosine + offset). Probabilities are a softmax
    over all classes, or (``multi``) the sigmoid of each logit + ``bias``.
    """
    k = min(k, len(classes))
    numbers = np.empty((len(rows), k), np.int32)
    probabilities = np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), TILE_ROWS):
        part = slice(start, min(start + TILE_ROWS, len(rows)))
        numbers[part], probabilities[part] = _rank_tile(rows[part], classes, offsets, scale, k, multi)
    return numbers, probabilities


def _rank_tile(
    rows: Float32, classes: Float32, offsets: Float32, scale: Scale, k: int, multi: bool
) -> tuple[Int32, Float32]:
    n = len(rows)
    numbers = np.zeros((n, 0), np.int32)
    logits = np.zeros((n, 0), np.float32)
    # Running sum of the softmax, over exp(logit - highest).
    highest, total = np.full(n, -np.inf, np.float32), np.zeros(n, np.float64)
    for start in range(0, len(classes), TILE_CLASSES):
        tile = rows @ classes[start : start + TILE_CLASSES].T
        tile += offsets[start : start + TILE_CLASSES]
        tile *= np.float32(scale.factor)
        at = _top(tile, k)
        top_logits = np.take_along_axis(tile, at, axis=1)
        numbers = np.concatenate([numbers, (at + start).astype(np.int32)], axis=1)
        logits = np.concatenate([logits, top_logits], axis=1)
        keep = _top(logits, k)
        numbers, logits = np.take_along_axis(numbers, keep, axis=1), np.take_along_axis(logits, keep, axis=1)
        if not multi:
            peak = np.maximum(highest, logits[:, 0])
            tile -= peak[:, None]
            np.exp(tile, out=tile)
            total = total * np.exp(highest.astype(np.float64) - peak) + tile.sum(axis=1, dtype=np.float64)
            highest = peak
    if multi:
        return numbers, sigmoid(logits + np.float32(scale.bias or 0))
    shares = np.exp(logits.astype(np.float64) - highest[:, None]) / total[:, None]
    return numbers, shares.astype(np.float32)


def _top(logits: Float32, k: int) -> npt.NDArray[Any]:
    """Return the columns of the k highest values (n, k), highest first; ties go to the lower column."""
    if k == 1:
        first: npt.NDArray[Any] = logits.argmax(axis=1)[:, None]
        return first
    if k < logits.shape[1]:
        at = np.sort(np.argpartition(logits, logits.shape[1] - k, axis=1)[:, logits.shape[1] - k :], axis=1)
    else:
        at = np.broadcast_to(np.arange(logits.shape[1]), logits.shape)
    order = np.argsort(-np.take_along_axis(logits, at, axis=1), axis=1, kind="stable")
    return np.take_along_axis(at, order, axis=1)


def sigmoid(logits: Float32) -> Float32:
    """1 / (1 + e^-x), without overflow."""
    shares: Float32 = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))
    return shares
