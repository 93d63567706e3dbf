"""Vectors cut to their first numbers, for models that were trained for it: ``dim:N+REFERENCE``.

Matryoshka representation learning (Kusupati et al. 2022) trains the first numbers of a vector to serve by themselves.
The first numbers of other models' vectors say little, so those models are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.input_checks import unit_rows
from imseek.encoders.vector_adapter import WrappedEncoder
from imseek.errors import EncoderError
from imseek.types.arrays import Float32


def untrained_error(reference: str, dim: int, base_dim: int, trained: Sequence[int] = ()) -> EncoderError:
    """Return the error for a model with vectors of ``base_dim`` numbers that was not trained for ``dim``."""
    supported = f"only of {', '.join(map(str, trained))}" if trained else "only whole ones"
    return EncoderError(
        f"{reference} was not trained for vectors of {dim} numbers, {supported}",
        hint=f"its vectors have {base_dim} numbers; --dim is for models with matryoshka_dimensions",
    )


class TruncatedEncoder(WrappedEncoder):
    """An :class:`~imseek.encoders.base.Encoder` with the first numbers of another one's vectors, at length 1."""

    def __init__(self, base: Encoder, dim: int, reference: str) -> None:
        """Raise EncoderError where the model of ``base`` was not trained for vectors of ``dim`` numbers."""
        super().__init__(base, reference)
        trained = tuple(length for length in getattr(base, "trained_dims", ()) if length <= base.info.dim)
        if dim not in trained:
            raise untrained_error(base.info.reference, dim, base.info.dim, trained)
        self._dim = dim

    @property
    def info(self) -> EncoderInfo:
        return replace(super().info, dim=self._dim)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"imseek dim 1\0{self.base.fingerprint()}\0{self._dim}".encode()).hexdigest()

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        return unit_rows(self.base.encode_images(batch)[:, : self._dim])

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        return unit_rows(self.base.encode_texts(texts)[:, : self._dim])
