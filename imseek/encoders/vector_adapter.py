"""A small residual on an encoder's image vectors, trained on a collection by ``imseek tune``.

CLIP-Adapter (Gao et al. 2021, equations 1 and 3) adds a weighted bottleneck of a vector to the vector itself. Here the
bottleneck is linear, of low rank, and applied to pictures only: in measurements neither a non-linearity nor a text
adapter did better (docs/decisions/0021-adapters.md). Texts are encoded as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.types.arrays import Float32


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The map ``v' = unit(v + (v @ down) @ up)``; ``down`` (dim, rank) and ``up`` (rank, dim) are float32."""

    down: Float32
    up: Float32

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Adapter:
        """Build an adapter from a model's arrays. Raises ValueError where they are not those of an adapter."""
        down, up = arrays.get("down"), arrays.get("up")
        if down is None or up is None or down.ndim != 2 or down.shape != up.shape[::-1]:
            raise ValueError("these are not the arrays of an adapter")
        if down.dtype != np.float32 or up.dtype != np.float32 or not (_is_finite(down) and _is_finite(up)):
            raise ValueError("the arrays of an adapter are finite and float32")
        return cls(down, up)

    @property
    def arrays(self) -> dict[str, Float32]:
        return {"down": self.down, "up": self.up}

    def __call__(self, rows: npt.NDArray[Any]) -> Float32:
        """Map (n, dim) rows of any float type to (n, dim) float32 unit rows; zero and non-finite rows stay as they are.

        Computes in float64, so that equal rows give equal results wherever they stand in a block.
        """
        wide = rows.astype(np.float64)
        wide += (wide @ self.down.astype(np.float64)) @ self.up.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        np.divide(wide, lengths, out=wide, where=lengths > 0)
        return wide.astype(np.float32)

    def fingerprint(self, base: str) -> str:
        """Return the fingerprint of this adapter on an encoder with the fingerprint ``base``: hex sha256 over both."""
        digest = hashlib.sha256(f"imseek adapter 1\0{base}\0".encode())
        for array in (self.down, self.up):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()


class WrappedEncoder:
    """An encoder under another reference. Encoders that change the vectors of ``base`` derive from it.

    Subclasses add ``fingerprint``.
    """

    def __init__(self, base: Encoder, reference: str) -> None:
        self.base = base
        self._reference = reference

    @property
    def info(self) -> EncoderInfo:
        return replace(self.base.info, reference=self._reference)

    @property
    def precision(self) -> str:
        return self.base.precision

    def prepare(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
        return self.base.prepare(pixels)

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        return self.base.encode_images(batch)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        return self.base.encode_texts(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return self.base.notes(texts)


class AdaptedEncoder(WrappedEncoder):
    """An :class:`~imseek.encoders.base.Encoder` that applies an adapter to its image vectors."""

    def __init__(self, base: Encoder, adapter: Adapter, reference: str) -> None:
        super().__init__(base, reference)
        self.adapter = adapter

    def fingerprint(self) -> str:
        return self.adapter.fingerprint(self.base.fingerprint())

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        return self.adapter(self.base.encode_images(batch))


def _is_finite(array: npt.NDArray[Any]) -> bool:
    return bool(np.isfinite(array).all())
