"""all-MiniLM-L6-v2 on onnxruntime, without transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.encoders.builtin.weights import TOKENIZER
from imseek.encoders.input_checks import merge_pieces
from imseek.encoders.onnx_network import Network
from imseek.types.arrays import Float32

CONTEXT_LENGTH: Final = 256  # tokens, including the start and end tokens
_BATCH: Final = 64


class TextTower:
    """Encodes texts with MiniLM. Thread-safe; averages the vectors of the pieces of a text longer than 256 tokens."""

    def __init__(self, path: Path, *, threads: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(TOKENIZER.read().decode())
        self._tokenizer.enable_truncation(CONTEXT_LENGTH)
        self._tokenizer.no_padding()
        self._network = Network(path, threads=threads, mapped=True)

    def __call__(self, texts: Sequence[str]) -> Float32:
        """Encode n texts as (n, 384) float32 unit rows."""
        pieces = [self._pieces(text) for text in texts]
        flat = [ids for of_text in pieces for ids in of_text]
        # Texts of similar length share a batch, which keeps padding short.
        order = sorted(range(len(flat)), key=lambda i: len(flat[i]))
        rows = np.empty((len(flat), 384), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            rows[batch] = self._run([flat[i] for i in batch])
        return merge_pieces(rows, [len(of_text) for of_text in pieces])

    def states(self, texts: Sequence[str], most: int) -> list[Float32]:
        """Return the states (t, 384) float32 of each text's first tokens, at most ``most``, not its start and end."""
        states_by_text = []
        for text in texts:
            ids, mask = _batch([self._pieces(text)[0]])
            (states,) = self._network.outputs({"ids": ids, "mask": mask}, ("states",))
            states_by_text.append(states[0, 1:-1][:most].copy())  # A view would keep all of them.
        return states_by_text

    def piece_count(self, text: str) -> int:
        """Count the pieces that ``text`` is cut into."""
        return len(self._pieces(text))

    def _pieces(self, text: str) -> list[list[int]]:
        encoding = self._tokenizer.encode(text)
        return [encoding.ids, *(piece.ids for piece in encoding.overflowing)]

    def _run(self, batch: Sequence[Sequence[int]]) -> Float32:
        ids, mask = _batch(batch)
        return self._network({"ids": ids, "mask": mask})


def _batch(pieces: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pad ids of tokens: (n, length) ids and a mask of those that are there."""
    ids = np.zeros((len(pieces), max(map(len, pieces))), dtype=np.int64)  # 0 is the padding token
    mask = np.zeros_like(ids)
    for i, row in enumerate(pieces):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask
