"""Vectors of class names, where the encoder takes text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.data.reader import Reader
from imseek.errors import EncoderError, MissingExtraError, QueryError, UnknownEncoderError
from imseek.labels.class_vectors import class_vectors
from imseek.probes.model_selection import centre_rows
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Tags are free text, for which three plain templates suffice.
TEMPLATES: Final = ("{}", "a photo of {}", "a picture of {}")


def encode_class_names(
    reader: Reader, space: SpaceInfo, classes: Sequence[str]
) -> tuple[Float32 | None, tuple[str, ...]]:
    """Encode class names as (classes, dim) centred unit rows, with notes for the user.

    None where the space is not the one for text, or its encoder is unavailable.
    """
    if space.space_id != reader.current.space.space_id:
        return None, ()
    try:
        rows = class_vectors(reader.root, space, classes, TEMPLATES)
        return centre_rows(rows, rows.mean(axis=0)), ()
    except (EncoderError, MissingExtraError, UnknownEncoderError, QueryError) as error:
        return None, (f"the names of the classes are not used: {error}",)
