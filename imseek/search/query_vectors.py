"""Encode the terms of a query, and fuse them into one vector per space.

Cosines between pictures are larger and spread wider than those between text and pictures, so pictures would dominate
a plain sum. Each term is therefore divided by the standard deviation of its cosines over a sample of the collection.
This ranks images exactly as a sum of z-scores does, since the mean that a z-score subtracts is the same for every
image, and the result is still one vector that any index can search. docs/decisions/0015-fusion.md lists the
alternatives measured.
"""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.collection_records import Current
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.encoders.input_checks import check_fingerprint
from imseek.encoders.reference_texts import encode_reference_texts
from imseek.errors import MediaError, QueryError
from imseek.input_file import read_input
from imseek.search.backend import GenerationReader, OpenOriginals
from imseek.search.query import Query, Term, unusable_picture_error
from imseek.search.region import decode_region
from imseek.types.arrays import Float32, Pixels
from imseek.types.pictures import SkipReason, display_path
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.media.fetcher import FetchLimits

Float64: TypeAlias = npt.NDArray[np.float64]

#: Returns the encoder of a space for some modalities; ``("text",)`` loads no image tower.
EncoderSource = Callable[[SpaceInfo, tuple[str, ...]], Encoder]
#: Texts whose vectors are in memory: people page through a search, and count and refine what it finds.
_TEXTS: Final = 64
#: A shorter vector has no direction.
MIN_NORM: Final = 1e-6
#: With fewer rows the deviations are unreliable, and terms are summed unscaled.
_MIN_SAMPLE: Final = 32
#: Maximum boost of a term, relative to the term whose cosines spread widest.
_MAX_BOOST: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class QueryVectors:
    """The vectors of a query: a unit vector (dim,) float32 per space, and each space's share of the score (sum 1).

    ``notes`` are messages for the user.
    """

    units: tuple[Float32, ...]
    shares: tuple[float, ...]
    notes: tuple[str, ...] = ()


class QueryEncoder:
    """Encodes terms and fuses them into query vectors; ``originals`` opens pictures of regions. Thread-safe."""

    def __init__(self, encoder: EncoderSource, originals: OpenOriginals) -> None:
        self._encoder = encoder
        self._originals = originals
        self._checked_spaces: set[int] = set()
        self._lock = threading.Lock()
        self._references: dict[tuple[str, tuple[str, ...]], Float32] = {}
        self._texts: OrderedDict[tuple[str, str], Float32] = OrderedDict()

    def encoder(self, space: SpaceInfo, modality: str) -> Encoder:
        """Return the encoder of a space, checked to be the one that made its vectors. Raises EncoderMismatchError."""
        encoder = self._encoder(space, (modality,))
        if space.space_id not in self._checked_spaces:
            check_fingerprint(encoder, space.encoder, space.fingerprint)
            self._checked_spaces.add(space.space_id)
        return encoder

    def texts_of(self, queries: Sequence[Query], space: SpaceInfo) -> Mapping[str, Float32]:
        """Encode all texts of several queries to one space in one batch, which takes a third of the time."""
        texts = dict.fromkeys(term.text for query in queries for term in query.terms if term.text is not None)
        if len(texts) < 2:
            return {}
        return dict(zip(texts, self.encoder(space, "text").encode_texts(list(texts)), strict=True))

    def reference_texts(self, space: SpaceInfo, texts: tuple[str, ...]) -> Float32:
        """Encode texts that scores are compared with, once per encoder. Returns (t, dim) float32 unit rows."""
        key = (space.fingerprint, texts)
        if key not in self._references:
            vectors = encode_reference_texts(self.encoder(space, "text"), texts)
            with self._lock:
                self._references[key] = vectors
        return self._references[key]

    def encode(
        self,
        query: Query,
        reader: GenerationReader,
        spaces: Sequence[SpaceInfo],
        sample: Callable[[SpaceInfo], Float32],
        texts: Mapping[str, Float32] = MappingProxyType({}),
    ) -> QueryVectors:
        """Encode the terms and fuse them (see ``fuse_terms``) into one normalised vector per space.

        A space's share of the score is proportional to the length of the plain sum of its terms.

        ``sample`` returns rows (n, dim) of a space and is called only for several terms. ``texts`` are vectors
        already computed by :meth:`texts_of`.

        Raises QueryError, MediaError, ImageNotFoundError, EncoderMismatchError.
        """
        vectors: list[list[Float64]] = [[] for _ in spaces]
        weights: list[list[float]] = [[] for _ in spaces]
        notes: tuple[str, ...] = ()
        heaviest = max(abs(term.weight) for term in query.terms)  # only ratios matter
        for term in query.terms:
            term_vectors, term_notes = self._term(term, reader, spaces, texts)
            for n, vector in enumerate(term_vectors):
                vectors[n].append(_unit(vector, "a term"))
                weights[n].append(term.weight / heaviest)
            notes += term_notes
        units, lengths = [], []
        for space, terms, space_weights in zip(spaces, vectors, weights, strict=True):
            if len(query.terms) == 1:  # Its weight is 1.
                units.append(terms[0].astype(np.float32))
                lengths.append(1.0)
                continue
            direction, length = fuse_terms(terms, space_weights, sample(space))
            units.append(_unit(direction, "the query").astype(np.float32))
            lengths.append(length)
        return QueryVectors(tuple(units), tuple(length / sum(lengths) for length in lengths), notes)

    def _term(
        self, term: Term, reader: GenerationReader, spaces: Sequence[SpaceInfo], texts: Mapping[str, Float32]
    ) -> tuple[list[npt.NDArray[Any]], tuple[str, ...]]:
        """Encode a term in each space that it searches, all or only the first; also return notes for the user."""
        if term.text is not None:
            cached = texts.get(term.text)
            vector = self._text_vector(term.text, spaces[0]) if cached is None else cached
            return [vector], self.encoder(spaces[0], "text").notes([term.text])
        if term.picture is not None or term.url is not None or term.region is not None:
            encoders = [self.encoder(space, "image") for space in spaces]
            draft_size = shared_draft_size(encoders)
            if term.image_id is None:
                pixels = decode_picture(term, draft_size)
            else:
                pixels = self._decode_stored(term, reader, draft_size)
            return [e.encode_images(e.prepare(pixels)[None])[0] for e in encoders], ()
        if term.image_id is not None:
            return [reader.vector(term.image_id, _image_space_of(space, reader.current)) for space in spaces], ()
        vector = np.asarray(term.vector)
        if vector.shape != (spaces[0].dim,):
            raise QueryError(f"a vector of shape {vector.shape} in a space of {spaces[0].dim} dimensions")
        return [vector], ()

    def _text_vector(self, text: str, space: SpaceInfo) -> Float32:
        """Encode a text, unless its vector is among those in memory."""
        key = (space.fingerprint, text)
        with self._lock:
            cached = self._texts.get(key)
            if cached is not None:
                self._texts.move_to_end(key)
                return cached
        vector: Float32 = self.encoder(space, "text").encode_texts([text])[0]
        with self._lock:
            self._texts[key] = vector
            if len(self._texts) > _TEXTS:
                self._texts.popitem(last=False)
        return vector

    def _decode_stored(self, term: Term, reader: GenerationReader, draft_size: int | None) -> Pixels:
        """Decode the region of a stored image, from the picture that was indexed.

        Raises QueryError for a region that it does not have, MediaError if the picture is gone or has changed.
        """
        assert term.image_id is not None
        with self._originals(reader) as read:
            try:
                data = read(int(term.image_id))
            except OSError as error:
                message = f"image {term.image_id} cannot be read: {error.strerror or error}"
                raise MediaError(SkipReason.UNREADABLE, message) from error
            except MediaError as error:
                message = f"a region needs the picture of image {term.image_id}: {error}"
                raise type(error)(error.reason, message, hint=error.hint) from error
        return decode_region(data, term.region, draft_size)


def fuse_terms(units: Sequence[Float64], weights: Sequence[float], sample: Float32) -> tuple[Float64, float]:
    """Fuse terms into a direction (dim,), not normalised; also return the length of their plain sum.

    Both are zero if the terms cancel out. ``units`` are unit vectors (dim,) with ``weights``; ``sample`` (n, dim)
    holds rows of the collection. A single term is only weighted.
    """
    counts, stacked = np.array(weights), np.stack(units)
    plain: Float64 = counts @ stacked
    length = math.sqrt(plain @ plain)
    if length < MIN_NORM:
        return np.zeros_like(plain), 0.0  # what is left is rounding error
    if len(units) == 1 or len(sample) < _MIN_SAMPLE:
        return plain, length
    spreads = (sample.astype(np.float64) @ stacked.T).std(axis=0)
    widest = float(spreads.max())
    if widest < MIN_NORM:  # all rows are equal
        return plain, length
    direction: Float64 = (counts * widest / np.maximum(spreads, widest / _MAX_BOOST)) @ stacked
    return direction, length


def answering_spaces(current: Current, query: Query) -> tuple[SpaceInfo, ...]:
    """Return the spaces that a query searches, none by words alone.

    Raises QueryError if it searches captions and they are not embedded.
    """
    if query.by == "caption":
        if current.caption_space is None:
            raise QueryError(
                "the captions of this collection are not embedded",
                hint="imseek maintain --captions embeds them",
            )
        return (current.caption_space,)
    spaces = current.image_spaces
    if query.by == "text":
        return ()
    return spaces if any(term.shows for term in query.terms) else spaces[:1]


def _image_space_of(space: SpaceInfo, current: Current) -> int:
    """Return the id of the image space whose vectors are comparable with those of ``space``.

    Raises QueryError if there is none.
    """
    if space.modality == "image":
        return space.space_id
    for image_space in current.image_spaces:
        if image_space.fingerprint == space.fingerprint:
            return image_space.space_id
    raise QueryError(
        f"the captions are embedded with {space.encoder}, and no picture is",
        hint="imseek maintain --captions embeds them with the encoder of the pictures",
    )


def _unit(vector: npt.NDArray[Any], subject: str) -> Float64:
    wide = vector.astype(np.float64)
    norm = math.sqrt(wide @ wide)
    if not math.isfinite(norm) or norm < MIN_NORM:
        raise QueryError(f"{subject} has no direction: its vector is zero or not finite")
    unit: Float64 = wide / norm
    return unit


def decode_picture(term: Term, draft_size: int | None) -> Pixels:
    """Decode the picture of a term, of a file, bytes or a URL, or its region, as (h, w, 3) uint8.

    Raises QueryError if it is unusable, MediaError if the network fails.
    """
    data, name = load_picture(term)
    try:
        return decode_region(data, term.region, draft_size)
    except MediaError as error:
        raise unusable_picture_error(name, error) from error


def load_picture(term: Term, limits: FetchLimits | None = None) -> tuple[bytes, str]:
    """Return the bytes of a term's picture, and a name for messages; ``limits`` apply to a URL.

    Raises QueryError, and MediaError if the network fails.
    """
    if isinstance(term.picture, bytes):
        return term.picture, "the bytes given"
    if term.picture is not None:
        from imseek.media.decode import DEFAULT_LIMITS

        try:
            return read_input(term.picture, most=DEFAULT_LIMITS.max_bytes), display_path(os.fsencode(term.picture))
        except OSError as error:
            raise QueryError(f"cannot read the picture {term.picture}: {error.strerror}") from error
    assert term.url is not None
    from imseek.media.fetcher import DEFAULT_FETCH_LIMITS
    from imseek.media.http_fetcher import HttpFetcher

    with HttpFetcher(limits or DEFAULT_FETCH_LIMITS) as fetcher:
        try:
            return fetcher.fetch(term.url).data, term.url
        except MediaError as error:
            message = f"{display_path(os.fsencode(term.url))}: {error}"
            if error.reason == SkipReason.FORBIDDEN_ADDRESS:
                hint = "a picture of the local network: curl -s URL | imseek search -"
                raise QueryError(message, hint=hint) from error
            raise MediaError(error.reason, message, hint=error.hint) from error
