"""From the terms of a query to one vector per space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.current import Current
from imseek.data.reader import Reader
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.encoders.checks import check_fingerprint
from imseek.errors import MediaError, QueryError
from imseek.search.query import Query, Term
from imseek.types import Float32, SpaceInfo

Float64: TypeAlias = npt.NDArray[np.float64]

#: Gives the encoder of a space for some modalities: ``("text",)`` loads no image tower.
EncoderSource = Callable[[SpaceInfo, tuple[str, ...]], Encoder]


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """What the spaces are asked: per space a unit vector (dim,) float32, and its share of the score; shares add up
    to 1. ``notes`` are lines that a user should see."""

    units: tuple[Float32, ...]
    shares: tuple[float, ...]
    notes: tuple[str, ...] = ()


class Composer:
    """Encodes terms and adds them up. Safe to use from several threads."""

    def __init__(self, encoder: EncoderSource) -> None:
        self._encoder = encoder
        self._checked: set[int] = set()

    def encoder(self, space: SpaceInfo, modality: str) -> Encoder:
        """With the proof that it made the space's vectors. Raises EncoderMismatchError."""
        encoder = self._encoder(space, (modality,))
        if space.space_id not in self._checked:
            check_fingerprint(encoder, space.encoder, space.fingerprint)
            self._checked.add(space.space_id)
        return encoder

    def compose(self, query: Query, reader: Reader, spaces: Sequence[SpaceInfo]) -> Composed:
        """The sum by weight of the unit vectors of the terms that speak to each space, normalised.

        Raises QueryError, MediaError, ImageNotFoundError, EncoderMismatchError.
        """
        sums = [np.zeros(space.dim) for space in spaces]
        notes: tuple[str, ...] = ()
        heaviest = max(abs(term.weight) for term in query.terms)  # only ratios count
        for term in query.terms:
            vectors, said = self._term(term, reader, spaces)
            for total, vector in zip(sums, vectors, strict=False):
                total += term.weight / heaviest * _unit(vector, "a term")
            notes += said
        units = tuple(_unit(total, "the query").astype(np.float32) for total in sums)
        lengths = [float(np.linalg.norm(total)) for total in sums]
        return Composed(units, tuple(length / sum(lengths) for length in lengths), notes)

    def _term(
        self, term: Term, reader: Reader, spaces: Sequence[SpaceInfo]
    ) -> tuple[list[npt.NDArray[Any]], tuple[str, ...]]:
        """A vector in each of the spaces that the term speaks to: all, or only the first."""
        if term.text is not None:
            encoder = self.encoder(spaces[0], "text")
            return [encoder.encode_texts([term.text])[0]], encoder.notes([term.text])
        if term.picture is not None:
            encoders = [self.encoder(space, "image") for space in spaces]
            pixels = _pixels(term.picture, shared_draft_size(encoders))
            return [e.encode_images(e.prepare(pixels)[None])[0] for e in encoders], ()
        if term.image_id is not None:
            return [reader.vector(term.image_id, _shown_in(space, reader.current)) for space in spaces], ()
        vector = np.asarray(term.vector)
        if vector.shape != (spaces[0].dim,):
            raise QueryError(f"a vector of shape {vector.shape} in a space of {spaces[0].dim} dimensions")
        return [vector], ()


def _shown_in(space: SpaceInfo, current: Current) -> int:
    """The space whose vectors of pictures can be compared with the vectors of ``space``."""
    if space.modality == "image":
        return space.space_id
    for other in current.image_spaces:
        if other.fingerprint == space.fingerprint:
            return other.space_id
    raise QueryError(
        f"the captions are embedded with {space.encoder}, and no picture is",
        hint="imseek maintain --captions embeds them with the encoder of the pictures",
    )


def _unit(vector: npt.NDArray[Any], what: str) -> Float64:
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm) or norm < 1e-6:
        raise QueryError(f"{what} has no direction: its vector is zero or not finite")
    unit: Float64 = wide / norm
    return unit


def _pixels(picture: Path | bytes, draft_size: int | None) -> npt.NDArray[np.uint8]:
    from imseek.media.decode import decode

    if isinstance(picture, bytes):
        return decode(picture, min_side=draft_size).pixels
    try:
        data = picture.read_bytes()
    except OSError as error:
        raise QueryError(f"cannot read the picture {picture}: {error.strerror}") from error
    try:
        return decode(data, min_side=draft_size).pixels
    except MediaError as error:
        raise QueryError(f"cannot use {picture} as a query: {error}", hint=error.hint) from error
