"""Features of the parts of a picture and of the words of a text, for models that compare these one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from imseek.errors import EncoderError
from imseek.types.arrays import Float32


@dataclass(frozen=True, slots=True, eq=False)
class PatchAlignment:
    """Linear maps that take both sides to one space.

    ``image`` (width, dim) and ``image_bias`` (dim,) are for features of patches, ``text`` (text width, dim) and
    ``text_bias`` (dim,) for states of tokens.
    """

    image: Float32
    image_bias: Float32
    text: Float32
    text_bias: Float32


@runtime_checkable
class PatchEncoder(Protocol):
    """An encoder that also returns vectors of a picture's patches and of a text's tokens."""

    def patch_features(self, batch: np.ndarray[Any, Any]) -> Float32:
        """Encode (n, *prepared shape) as (n, patches, width) float32, before any pooling."""
        ...

    def token_states(self, texts: Sequence[str], most: int) -> list[Float32]:
        """Return the last states (t, text width) float32 of the first ``most`` tokens of each text."""
        ...

    def patch_alignment(self) -> PatchAlignment:
        """Return the maps to one space that the encoder itself uses for whole pictures and texts."""
        ...


def require_patches(encoder: object, reference: str) -> PatchEncoder:
    """Return the encoder as one that gives features of patches. Raises EncoderError."""
    if not isinstance(encoder, PatchEncoder):
        raise EncoderError(
            f"{reference} gives vectors of whole pictures only, and tokens are made of their parts",
            hint="builtin gives features of patches",
        )
    return encoder
