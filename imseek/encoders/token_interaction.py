"""A small model that compares the words of a query with the parts of a picture (after EDJE, arXiv 2510.06820).

*Compression* runs once for each picture: learned queries attend over features of its patches, and what each gathers is
a token that is stored. *Interaction* runs for each query and candidate: states of the query's words, from the encoder's
own text tower, attend over the tokens; a gate weighs what the words found. Unlike EDJE, whose joint encoder has twelve
layers and learns from millions of pairs, this one has a single layer, and starts from the encoder's alignment of
pictures and words, so that some hundred captions can teach it. Needs NumPy only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from imseek.encoders.input_checks import unit_rows
from imseek.types.arrays import Float32

#: Tokens of a picture, numbers in a key of the compression's attention, and inside the layer that scores a word.
TOKENS: Final = 64
KEY: Final = 32
HIDDEN: Final = 64
#: Words of a text that count.
WORDS: Final = 32
#: Bounds of the arrays of a model: a collection may come from a stranger. What is computed for each picture or word
#: grows with the sides of the second.
_MAX_SIDE: Final = 1 << 14
_MAX_INNER: Final = 1 << 10
#: Bytes of an array that scores compute at a time.
_BLOCK_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Interaction:
    """The weights, all float32.

    Compression has ``queries`` (m, key), ``keys`` (width, key), ``positions`` (m, patches), ``values`` (width, dim) and
    ``values_bias`` (dim,). Interaction has ``text`` (text width, dim), ``text_bias`` (dim,), ``gate`` (dim,),
    ``inner_word`` and ``inner_token`` (dim, hidden), ``inner_bias`` and ``outer`` (hidden,), and ``scales`` (2,):
    sharpness of the attention over tokens, and the factor of its cosines.
    """

    queries: Float32
    keys: Float32
    positions: Float32
    values: Float32
    values_bias: Float32
    text: Float32
    text_bias: Float32
    gate: Float32
    inner_word: Float32
    inner_token: Float32
    inner_bias: Float32
    outer: Float32
    scales: Float32

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return the model of stored arrays. Raises ValueError where they do not fit together."""
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"it lacks {missing[0]}")
        model = cls(**{name: arrays[name] for name in names})
        count, dim = model.positions.shape[:1] or (0,), model.values.shape[-1:] or (0,)
        width, key, hidden = model.keys.shape[:1], model.keys.shape[1:], model.outer.shape
        shapes = {
            "queries": count + key, "keys": width + key, "positions": count + model.positions.shape[1:],
            "values": width + dim, "values_bias": dim, "text": model.text.shape[:1] + dim, "text_bias": dim,
            "gate": dim, "inner_word": dim + hidden, "inner_token": dim + hidden, "inner_bias": hidden, "outer": hidden,
            "scales": (2,),
        }  # fmt: skip
        for name, shape in shapes.items():
            array, sides = arrays[name], 2 if name in _MATRICES else 1
            if array.dtype != np.float32 or array.shape != shape or len(shape) != sides:
                raise ValueError(f"{name} does not fit")
            if not all(1 <= side <= _MAX_SIDE for side in shape) or not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers that no model has")
        for name, side in (("queries", count), ("keys", key), ("outer", hidden)):
            if side[0] > _MAX_INNER:
                raise ValueError(f"{name} is larger than that of any model")
        return model

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The weights by name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def shape(self) -> tuple[int, int]:
        """Number and length of a picture's tokens."""
        return len(self.queries), self.values.shape[1]

    def fingerprint(self, encoder: str) -> str:
        """Return the fingerprint of the tokens that this model makes of the features of an encoder."""
        digest = hashlib.sha256(f"imseek tokens 1\0{encoder}".encode())
        for name in ("queries", "keys", "positions", "values", "values_bias"):
            array = getattr(self, name)
            digest.update(f"\0{array.shape}".encode() + np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()

    def compress(self, features: Float32) -> Float32:
        """Compress features of patches (n, patches, width) to unit tokens (n, m, dim)."""
        logits = self.queries @ (features @ self.keys).transpose(0, 2, 1) / np.sqrt(np.float32(self.keys.shape[1]))
        gathered = _softmax(logits + self.positions) @ (features @ self.values + self.values_bias)
        return unit_rows(gathered.reshape(-1, gathered.shape[2])).reshape(gathered.shape)

    def score(self, states: Float32, tokens: Float32) -> Float32:
        """Score pictures: states (t, text width) of a text's words and tokens (n, m, dim) → (n,); 0 without words."""
        if not len(states):
            return np.zeros(len(tokens), np.float32)
        words = unit_rows(states[:WORDS] @ self.text + self.text_bias)
        widest = 4 * max(len(words), tokens.shape[1]) * max(len(words), len(self.outer), tokens.shape[1])
        block = max(1, _BLOCK_BYTES // widest)
        scores = [self._score(words, tokens[n : n + block]) for n in range(0, len(tokens), block)]
        return np.concatenate([np.empty(0, np.float32), *scores])

    def _score(self, words: Float32, tokens: Float32) -> Float32:
        sharpness, factor = self.scales
        flat = tokens.reshape(-1, tokens.shape[2])
        cosines = np.ascontiguousarray((flat @ words.T).reshape(*tokens.shape[:2], -1).transpose(0, 2, 1))  # (n, t, m)
        attention = _softmax(sharpness * cosines)
        of_tokens = (flat @ self.inner_token).reshape(*tokens.shape[:2], -1)
        inner = words @ self.inner_word + attention @ of_tokens + self.inner_bias
        word_scores = factor * (attention * cosines).sum(axis=2) + np.maximum(inner, 0) @ self.outer
        scores: Float32 = word_scores @ _softmax(words @ self.gate)
        return scores


_MATRICES: Final = ("queries", "keys", "positions", "values", "text", "inner_word", "inner_token")


def _softmax(logits: Float32) -> Float32:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Float32 = powers / powers.sum(axis=-1, keepdims=True)
    return shares
