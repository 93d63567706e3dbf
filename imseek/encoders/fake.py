"""A deterministic encoder without weights, for tests: ``fake`` or ``fake:DIM``.

Similar pictures get similar vectors, texts that share words get similar vectors, and a colour word lies close to a
picture of that colour, so that tests can assert ids and scores of whole searches.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.encoders.base import EncoderInfo
from imseek.encoders.input_checks import check_modality, check_texts, unit_rows
from imseek.errors import UsageError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    from imseek.encoders.patch_features import PatchAlignment

DEFAULT_DIM: Final = 64

_WORD: Final = r"\w+"
_SIDE: Final = 8
_SAMPLED_SIDE: Final = 64  # larger pictures are sampled down to about this side
_COLOURS: Final = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}


class FakeEncoder:
    """Projects a picture's 8 × 8 mean colours through a fixed random matrix, and sums a text's word vectors."""

    def __init__(
        self,
        dim: int = DEFAULT_DIM,
        *,
        modalities: Sequence[str] = ("image", "text"),
        reference: str = "fake",
    ) -> None:
        self._modalities = tuple(modalities)
        self._info = EncoderInfo(
            reference=reference,
            dim=dim,
            image_size=_SIDE,
            licence="MIT",
            quality="test",
            preprocessing={"size": _SIDE, "resize": "mean"},
        )
        # One extra constant input keeps a medium grey picture from being the zero vector.
        inputs = _SIDE * _SIDE * 3 + 1
        self._projection = _noise("pixels", inputs * dim).reshape(inputs, dim)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        return hashlib.sha256(f"imseek fake encoder 1, {self._info.dim} dimensions".encode()).hexdigest()

    def prepare(self, pixels: Pixels) -> Float32:
        """Reduce (h, w, 3) uint8 sRGB to (8, 8, 3) float32 means in [0, 255]."""
        step = max(1, min(pixels.shape[:2]) // _SAMPLED_SIDE)
        means = pixels[::step, ::step]
        for axis in (0, 1):
            edges = np.arange(_SIDE) * means.shape[axis] // _SIDE
            # reduceat takes one line for an empty range, so lines repeat where there are fewer than cells.
            counts = np.maximum(1, np.diff(edges, append=means.shape[axis])).astype(np.float32)
            sums = np.add.reduceat(means, edges, axis=axis, dtype=np.float32)
            means = sums / np.expand_dims(counts, tuple({0, 1, 2} - {axis}))
        return means.astype(np.float32)

    def encode_images(self, batch: Float32) -> Float32:
        """Encode (n, 8, 8, 3) float32 as (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, self._info.reference)
        if getattr(batch, "shape", ())[1:] != (_SIDE, _SIDE, 3) or batch.dtype != np.float32:
            raise UsageError(f"pictures are an array (n, {_SIDE}, {_SIDE}, 3) of float32")
        return self._project(batch)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        rows = np.zeros((len(texts), self._info.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(_WORD, text.lower()) or [text]:
                row += self._word(word)
        return unit_rows(rows)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()

    def patch_features(self, batch: Float32) -> Float32:
        """Return the mean colours of the cells: (n, 64, 4), the last number 1."""
        cells = batch.reshape(len(batch), -1, 3) / np.float32(127.5) - 1
        return np.concatenate([cells, np.ones((*cells.shape[:2], 1), np.float32)], axis=2)

    def token_states(self, texts: Sequence[str], most: int) -> list[Float32]:
        """Return the vectors (t, dim) of each text's words."""
        return [
            np.stack([self._word(word) for word in (re.findall(_WORD, text.lower()) or [text])[:most]])
            for text in texts
        ]

    def patch_alignment(self) -> PatchAlignment:
        """Return what takes a cell to the vector of a plain picture in its colour."""
        from imseek.encoders.patch_features import PatchAlignment

        dim = self._info.dim
        colours = self._projection[:-1].reshape(-1, 3, dim).sum(axis=0)
        image = np.concatenate([colours, self._projection[-1:]])
        no_bias = np.zeros(dim, np.float32)
        return PatchAlignment(image, no_bias, np.eye(dim, dtype=np.float32), no_bias)

    def _project(self, batch: Float32) -> Float32:
        centred = batch.reshape(len(batch), _SIDE * _SIDE * 3) / np.float32(127.5) - 1
        return unit_rows(centred @ self._projection[:-1] + self._projection[-1])

    def _word(self, word: str) -> Float32:
        """Return a word's (dim,) vector: for a colour name that of a plain picture in it, else noise fixed per word."""
        if word in _COLOURS:
            rows = self._project(np.full((1, _SIDE, _SIDE, 3), _COLOURS[word], dtype=np.float32))
        else:
            rows = unit_rows(_noise(f"word {word}", self._info.dim)[None])
        word_row: Float32 = rows[0]
        return word_row


def _noise(seed: str, count: int) -> Float32:
    """Return ``count`` values, uniform in [-1, 1), from a hash stream that no library version can change."""
    stream = hashlib.shake_256(seed.encode("utf-8", "surrogatepass")).digest(4 * count)
    return (np.frombuffer(stream, dtype="<u4") / 2.0**31 - 1).astype(np.float32)
