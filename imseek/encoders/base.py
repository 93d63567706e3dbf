"""The encoder protocol and the data that describes an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from imseek.types.arrays import Float32


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """Describes an encoder, where possible without loading its weights.

    ``reference`` is what a user writes (``builtin``, ``openclip:MODEL/TAG`` …). ``draft_size`` is the length in pixels
    to which a decoder may reduce a picture's shorter side before ``prepare`` (twice the input size keeps vectors at
    cosine ≥ 0.999 to a full decode; see docs/log.md), or None to decode every pixel. ``batch_size`` is the smallest
    number of pictures per call that runs at full speed. ``quality`` is ``"full"`` for trained contrastive encoders,
    ``"basic"`` for the built-in one and ``"test"`` for the fake. ``licence`` is an SPDX id or ``"restricted"``.
    ``logit_scale`` is the factor that training applied to cosines and ``logit_bias`` the bias it added before a sigmoid
    (SigLIP); each is None where the model has none.
    """

    reference: str
    dim: int
    image_size: int
    modalities: tuple[str, ...] = ("image", "text")
    revision: str | None = None
    context_length: int | None = None
    licence: str = "unknown"
    tokenizer: str | None = None
    logit_scale: float | None = None
    logit_bias: float | None = None
    quality: str = "full"
    draft_size: int | None = None
    batch_size: int = 1
    preprocessing: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the info from its JSON form, that of ``dataclasses.asdict``.

        Raises KeyError, TypeError or AttributeError for anything else.
        """
        info = dict(stored)
        info["modalities"] = tuple(info["modalities"])
        info["preprocessing"] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in info["preprocessing"].items()
        }
        return cls(**info)


@runtime_checkable
class Encoder(Protocol):
    """Encodes pictures and texts as unit vectors in a shared space.

    ``prepare`` is pure and thread-safe: it runs in decode workers. Both ``encode`` methods return float32 rows of
    Euclidean norm 1, in the order of their input.
    """

    @property
    def info(self) -> EncoderInfo: ...

    @property
    def precision(self) -> str:
        """The precision in which image vectors are computed (``fp32``, ``bf16`` …), recorded for each run."""
        ...

    def fingerprint(self) -> str:
        """Hex sha256 over the weights and the preprocessing record; equal means comparable vectors."""
        ...

    def prepare(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
        """Convert (h, w, 3) uint8 sRGB to one element of the batch that ``encode_images`` takes."""
        ...

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        """Encode (n, *prepared shape) as (n, dim) float32 unit rows. Raises UsageError for any other shape or dtype."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows.

        Raises QueryError for an empty text, UsageError for a single str, and EncoderError where the encoder has no text
        tower.
        """
        ...

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return lines to show the user about these texts, such as one for a text longer than the context window."""
        ...


def shared_draft_size(encoders: Iterable[Encoder]) -> int | None:
    """Return the largest ``draft_size`` of encoders that share a decode; None where one needs every pixel."""
    sizes = [encoder.info.draft_size for encoder in encoders]
    return None if None in sizes else max(size for size in sizes if size is not None)
