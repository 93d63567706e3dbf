"""The report of encoding pictures or texts into a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import ContentHash, Count, FilePath, Json

EncodedKind: TypeAlias = Literal["images", "texts"]
FileFormat: TypeAlias = Literal["npy", "parquet"]


@dataclass(frozen=True, slots=True)
class SkippedInput:
    """A picture that could not be encoded."""

    position: Count
    """Its place among the inputs, from 0."""
    path: Annotated[FilePath, Json(inline=True)]
    reason: str
    """A code of :class:`imseek.types.pictures.SkipReason`."""
    message: str
    """The reason in words."""


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """The result of encoding pictures or texts into a file."""

    kind: EncodedKind
    target: FilePath | None
    """The file; null where nothing could be encoded, so that nothing was written."""
    format: FileFormat
    vectors: Count
    """Number of inputs that were encoded."""
    dim: Count
    """Length of the vectors."""
    encoder: str
    fingerprint: ContentHash
    """Digest of the encoder's weights and preprocessing: vectors are comparable if it is equal."""
    skipped: tuple[SkippedInput, ...] = ()
    """Rows of NaN in a ``.npy`` file; left out of a Parquet file."""
