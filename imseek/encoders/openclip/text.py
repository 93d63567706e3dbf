"""The text tower of an open_clip model on torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from imseek.encoders import windows
from imseek.encoders.checks import merge_pieces
from imseek.encoders.openclip.source import Source
from imseek.encoders.openclip.weights import Weights
from imseek.types import Float32

_BATCH = 32


class TextTower:
    """Thread-safe. A text beyond the context window is cut into pieces, whose vectors are averaged."""

    def __init__(self, source: Source, weights: Weights) -> None:
        self._source = source
        self._weights = weights

    def __call__(self, texts: Sequence[str]) -> Float32:
        """n texts → (n, dim) float32 unit rows."""
        import torch

        model = self._weights.model()
        pieces = [self.pieces(text) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        rows = np.empty((len(flat), self._source.config["embed_dim"]), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(flat), _BATCH):
                encoded = model.encode_text(self._tokenizer(flat[start : start + _BATCH]), normalize=True)
                rows[start : start + _BATCH] = encoded.numpy()
        return merge_pieces(rows, [len(of_text) for of_text in pieces])

    def pieces(self, text: str) -> list[str]:
        return windows.pieces(text, lambda piece: self._token_count(piece) <= self._source.context_length)

    @cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        return open_clip.get_tokenizer(self._source.model)

    def _token_count(self, text: str) -> int:
        """Tokens of ``text``, uncut, with those that mark start and end."""
        if hasattr(self._tokenizer, "encode"):  # open_clip's own; the others wrap one of transformers
            return len(self._tokenizer.encode(text)) + 2
        return len(self._tokenizer.tokenizer(text, truncation=False, verbose=False)["input_ids"])
