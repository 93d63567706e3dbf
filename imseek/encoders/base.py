"""What an encoder is: a small Protocol, and facts about it as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from imseek.types import Float32


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """Facts about an encoder, known without loading its weights wherever that is possible.

    ``reference`` is what a user writes (``builtin``, ``openclip:MODEL/TAG`` …). ``draft_size`` is the side in
    pixels that a decoder may shrink a picture's shorter side to before ``prepare`` (twice the input size
    keeps vectors at cosine ≥ 0.999 to a full decode; see docs/log.md), or None to ask for every pixel.
    ``batch_size`` is the least number of pictures that one call should be given for the sake of speed.
    ``quality`` is ``"full"`` for trained contrastive encoders, ``"basic"`` for the built-in one and
    ``"test"`` for the fake. ``licence`` is an SPDX id or ``"restricted"``. ``logit_scale`` is what training multiplied
    cosines by, ``logit_bias`` what it added for a sigmoid (SigLIP); None where there is none.
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


@runtime_checkable
class Encoder(Protocol):
    """Turns pictures and words into unit vectors of one space.

    ``prepare`` is pure and thread-safe: it runs in decode workers. The two ``encode`` methods return float32
    rows of Euclidean norm 1, in the order of their input.
    """

    @property
    def info(self) -> EncoderInfo: ...

    @property
    def precision(self) -> str:
        """The precision image vectors are computed in: ``fp32``, ``bf16`` … Recorded per run."""
        ...

    def fingerprint(self) -> str:
        """Hex sha256 over the weights and the preprocessing record: equal means comparable vectors."""
        ...

    def prepare(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
        """(h, w, 3) uint8 sRGB → the array that ``encode_images`` takes a stack of."""
        ...

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        """(n, *prepare-shape) → (n, dim) float32 unit rows. Raises UsageError for another shape or dtype."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """n non-empty strings → (n, dim) float32 unit rows.

        Raises QueryError for an empty text, UsageError for a single str, EncoderError where the encoder knows no words.
        """
        ...

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Lines a user should see about these texts (such as: one was longer than the context window)."""
        ...


def shared_draft_size(encoders: Iterable[Encoder]) -> int | None:
    """``draft_size`` for a decode that serves several encoders: what the most demanding one asks for."""
    sizes = [encoder.info.draft_size for encoder in encoders]
    return None if None in sizes else max(size for size in sizes if size is not None)
