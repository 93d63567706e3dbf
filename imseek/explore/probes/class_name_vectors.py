"""What the names of classes say by themselves, where the encoder knows words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.data.reader import Reader
from imseek.errors import EncoderError, MissingExtraError, QueryError, UnknownEncoderError
from imseek.explore.labels.class_vectors import class_vectors
from imseek.explore.probes.model_selection import prepared
from imseek.types import Float32, SpaceInfo

#: Tags are written as people write them; three plain sentences do.
TEMPLATES: Final = ("{}", "a photo of {}", "a picture of {}")


def words_of(
    reader: Reader, space: SpaceInfo, classes: Sequence[str]
) -> tuple[Float32 | None, tuple[str, ...]]:
    """(classes, dim) unit rows of the names, less what they have in common, and what is to be said. None where the
    space is not that of words, or its encoder cannot be had."""
    if space.space_id != reader.current.space.space_id:
        return None, ()
    try:
        rows = class_vectors(reader.root, space, classes, TEMPLATES)
        return prepared(rows, rows.mean(axis=0)), ()
    except (EncoderError, MissingExtraError, UnknownEncoderError, QueryError) as error:
        return None, (f"the names of the classes are not used: {error}",)
