"""Encode texts as unit rows with any network: tokens, pieces of long texts, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from imseek.encoders import chunking
from imseek.encoders.input_checks import check_texts, encode_in_pieces
from imseek.encoders.onnx_network import Network
from imseek.encoders.openclip.tokens import Ids, Tokenizer
from imseek.types.arrays import Float32

#: (n, context) ids → (n, dim) unit rows
Encode: TypeAlias = Callable[[Ids], Float32]


class TextTower:
    """Encodes texts. Thread-safe; averages the vectors of the pieces of a text that exceeds the context window."""

    def __init__(self, tokenizer: Tokenizer, encode: Encode, dim: int) -> None:
        self._tokenizer = tokenizer
        self._encode = encode
        self._dim = dim

    def __call__(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty texts as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_texts(texts)
        return encode_in_pieces(texts, self._pieces, lambda pieces: self._encode(self._tokenizer(pieces)), self._dim)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        counts = [len(self._pieces(text)) for text in texts]
        return chunking.notes(counts, self._tokenizer.context_length)

    def _pieces(self, text: str) -> list[str]:
        return chunking.split_text(text, self._tokenizer.fits)


class OnnxText:
    """An exported text tower: ids → rows.

    ``end`` says where a causal tower, exported for any length, reads its vector: at the first token with that id, or at
    the first one with the highest id (``"highest"``). Later tokens have no effect and are cut off before the network
    runs. None is for a tower that takes the whole context.
    """

    def __init__(self, path: Path, *, end: int | str | None, threads: int) -> None:
        self._network = Network(path, threads=threads, mapped=True)
        self._end = end

    def __call__(self, ids: Ids) -> Float32:
        """Encode (n, context) int64 ids as (n, dim) float32 unit rows."""
        if self._end is not None:
            ends = ids.argmax(axis=1) if self._end == "highest" else (ids == self._end).argmax(axis=1)
            ids = np.ascontiguousarray(ids[:, : ends.max() + 1])
        return self._network({"ids": ids})
