"""The learned head of ``builtin``, version 2: what EfficientNet's features say beyond the thousand classes of ImageNet.

A ridge regression takes the 1,280 features of a picture to the space of MiniLM's vectors, and both sides are compared
there in two ways: by cosine, and by distributions over the same 1,500 nouns (``tree``, ``man``, ``heart``, …), as
:mod:`imseek.encoders.builtin.space` does with the classes. A projection of rank 256 shortens both together.
bench/train_builtin.py learned the weights from free clip art and emoji, and says from which;
docs/decisions/0047-learned-head.md says why it is built so.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np

from imseek.encoders.builtin.weights import PackagedFile
from imseek.encoders.input_checks import unit_rows
from imseek.types.arrays import Float32

FEATURES: Final = 1280  # of EfficientNet-Lite0
BLOCK: Final = 256  # dimensions of a row
# Tuned on half A of the Tux Paint stamps; neighbouring values do as well (docs/log.md).
IMAGE_SHARPNESS: Final = 20.0  # factors on the cosines with the nouns before the softmax
TEXT_SHARPNESS: Final = 40.0
COSINE_WEIGHT: Final = 0.5**0.5  # length of the part compared by cosine, beside the nouns' of length 1

WEIGHTS: Final = PackagedFile(
    distribution="imseek",
    package="imseek.encoders.builtin",
    path="head.npz",
    sha256="8f19e72eac5adf891cdd9606462042fc3efc809b9d8388e92d2d10e08d5114f2",
)


class Head:
    """Rows of the head for pictures and texts.

    ``arrays``: ``image`` (1280, 384) and ``image_bias`` (384,) take features to the joint space, ``text`` (384, 384)
    and ``text_bias`` (384,) MiniLM's vectors; ``nouns`` (m, 384) are MiniLM's vectors of the nouns; ``projection``
    (m + 384, BLOCK).
    """

    def __init__(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._arrays = arrays

    def image_rows(self, features: Float32) -> Float32:
        """Convert (n, 1280) features to (n, BLOCK) float32 unit rows."""
        image, bias = self._image
        joint = unit_rows(features @ image + bias)
        return self._rows(np.float32(IMAGE_SHARPNESS) * (joint @ self._anchors.T), joint)

    def text_rows(self, vectors: Float32) -> Float32:
        """Convert (n, 384) vectors of MiniLM to (n, BLOCK) float32 unit rows."""
        nearness = np.float32(TEXT_SHARPNESS) * (vectors @ self._nouns.T)
        return self._rows(nearness, self._joint_texts(vectors))

    def text_weights(self) -> tuple[Float32, Float32, Float32, Float32]:
        """Return ``text``, ``text_bias``, ``nouns`` and ``projection`` as float32."""
        return *self._text, self._nouns, self._projection

    def joint_weights(self) -> tuple[tuple[Float32, Float32], tuple[Float32, Float32]]:
        """Return matrix and bias that take features, and those that take MiniLM's vectors, to the joint space."""
        return self._image, self._text

    # A query by words needs no weights of pictures, and the other way round: each is converted on first use.

    @cached_property
    def _image(self) -> tuple[Float32, Float32]:
        return self._float32("image"), self._float32("image_bias")

    @cached_property
    def _text(self) -> tuple[Float32, Float32]:
        return self._float32("text"), self._float32("text_bias")

    @cached_property
    def _nouns(self) -> Float32:
        return self._float32("nouns")

    @cached_property
    def _anchors(self) -> Float32:
        """The nouns in the joint space."""
        return self._joint_texts(self._nouns)

    @cached_property
    def _projection(self) -> Float32:
        return self._float32("projection")

    def _float32(self, name: str) -> Float32:
        return self._arrays[name].astype(np.float32)

    def _joint_texts(self, vectors: Float32) -> Float32:
        matrix, bias = self._text
        return unit_rows(vectors @ matrix + bias)

    def _rows(self, nearness: Float32, joint: Float32) -> Float32:
        powers = np.exp((nearness - nearness.max(axis=1, keepdims=True)) / 2)
        shares = unit_rows(powers)  # the square roots of a softmax
        return unit_rows(np.hstack([shares, np.float32(COSINE_WEIGHT) * joint]) @ self._projection)


@functools.cache
def load_head() -> Head:
    """Read the head's weights. Raises EncoderError or UntrustedWeightsError for a lost or changed file."""
    with np.load(io.BytesIO(WEIGHTS.read()), allow_pickle=False) as arrays:
        return Head(dict(arrays))
