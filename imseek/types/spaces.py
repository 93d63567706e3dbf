"""The description of a vector space: its encoder, fingerprint and dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from imseek.types.json_form import Json


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A set of vectors: its encoder, and the fingerprint of the encoder's weights."""

    space_id: Annotated[int, Json(hidden=True)]
    encoder: Annotated[str, Json(name="reference")]
    fingerprint: str
    dim: Annotated[int, Json(minimum=1)]
    modality: str
    quality: str
    note: str | None = None


def name_beside(encoder: str, other: str) -> str:
    """Name an encoder beside another one: two versions of it have the same name, and other weights."""
    return f"{encoder} of other weights" if encoder == other else encoder
