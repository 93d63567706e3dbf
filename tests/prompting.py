"""A small text tower on torch for tests of prompts that learn: a text is the sum of its words' embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from imseek.encoders.prompt_tower import PromptTower

_PADDING = 0


def make_tower(directions: Mapping[str, np.ndarray], length: int = 24) -> PromptTower:
    """A tower whose words are the names of ``directions``, each with its direction, and some words of prompts."""
    words = ["", "x", "a", "photo", "of", *directions]
    dim = len(next(iter(directions.values())))
    table = torch.nn.Embedding(len(words), dim)
    drawn = (np.random.default_rng(0).standard_normal((len(words), dim)) / np.sqrt(dim)).astype(np.float32)
    for word, direction in directions.items():
        drawn[words.index(word)] = 4 * direction
    table.weight.data = torch.from_numpy(drawn)
    table.requires_grad_(False)

    def tokenize(texts: Sequence[str]) -> np.ndarray:
        split = [text.split() for text in texts]
        rows = np.full((len(texts), max(map(len, split))), _PADDING, np.int64)
        for row, found in zip(rows, split, strict=True):
            row[: len(found)] = [words.index(word) for word in found]
        return rows

    def encode(ids: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        assert len(ids) == len(names)
        total = (table(ids) * (ids != _PADDING)[..., None]).sum(dim=1)
        return torch.nn.functional.normalize(total, dim=1)

    return PromptTower("toy", tokenize, lambda text: len(text.split()) <= length, table, encode)
