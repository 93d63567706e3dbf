"""Vectors in memory, read as those of a collection are."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np


class Held:
    """``rows`` (n, dim), made unit rows; the ids are 10, 11, and so on."""

    def __init__(self, rows: np.ndarray) -> None:
        wide = np.asarray(rows, np.float32)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        self.rows = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
        self.ids = np.arange(len(wide)) + 10
        self.dim = wide.shape[1]
        self.space = SimpleNamespace(encoder="fake")
        self.reader = SimpleNamespace(root="/nowhere")

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, positions: np.ndarray) -> np.ndarray:
        return self.rows[positions].copy()

    def blocks(self, size: int = 3) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            yield part, self.rows[part].copy()


def blobs(sizes: list[int], dim: int = 16, spread: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around as many random directions as there are sizes, and of which each is; in any order."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(len(sizes), dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    kinds = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return centres[kinds] + random.normal(scale=spread / dim**0.5, size=(len(kinds), dim)), kinds
