"""From a query to hits: encode its terms, fuse them, ask the vector indexes, look up the places."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.current import Current, read_current
from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex, open_index
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.encoders.checks import check_fingerprint
from imseek.errors import (
    CorruptCollectionError,
    MediaError,
    QueryError,
    StaleGenerationError,
)
from imseek.search.fusion import Part, best
from imseek.search.query import Query, Term
from imseek.types import Hit, SearchResult, SpaceInfo, SpaceShare

T = TypeVar("T")

Float64: TypeAlias = npt.NDArray[np.float64]

#: Gives the encoder of a space for some modalities: ``("text",)`` loads no image tower.
EncoderSource = Callable[[SpaceInfo, tuple[str, ...]], Encoder]


class Engine:
    """Searches one collection. Safe to use from several threads.

    Each search answers from one generation; a new one is taken up between searches.
    """

    def __init__(self, root: Path, encoder: EncoderSource, *, kind: str = "faiss") -> None:
        self._root = root
        self._encoder = encoder
        self._kind = kind
        self._lock = threading.Lock()
        self._checked: set[int] = set()
        self._reader = Reader(root)
        self._indexes: dict[int, tuple[int, VectorIndex]] = {}  # by space, of which generation

    @property
    def reader(self) -> Reader:
        """The newest generation."""
        with self._lock:
            return self._refreshed()

    def search(self, query: Query, *, metadata: bool = True) -> SearchResult:
        """Raises QueryError, MediaError (a query picture), ImageNotFoundError, EncoderMismatchError."""
        return self._until_whole(lambda: self._search(query, metadata))

    def read(self, question: Callable[[Reader], T]) -> T:
        """What ``question`` finds in the newest generation."""
        return self._until_whole(lambda: question(self.reader))

    def _until_whole(self, ask: Callable[[], T]) -> T:
        """An answer of one generation. If a writer has taken its files away meanwhile, there is a newer one."""
        failed = -1
        while True:
            try:
                return ask()
            except StaleGenerationError:
                with self._lock:
                    self._reader = Reader(self._root)
                    self._indexes.clear()
                    newest = self._reader.generation
                if newest == failed:
                    raise
                failed = newest

    def image_encoders(self) -> dict[int, Encoder]:
        """By space, each with the proof that it made the space's vectors. Raises EncoderMismatchError."""
        spaces = self.reader.current.image_spaces
        return {space.space_id: self._checked_encoder(space, "image") for space in spaces}

    def caption_encoders(self) -> dict[int, Encoder]:
        """That of the space of captions by its id, where there is one. Raises EncoderMismatchError."""
        space = self.reader.current.caption_space
        return {} if space is None else {space.space_id: self._checked_encoder(space, "text")}

    def _checked_encoder(self, space: SpaceInfo, modality: str) -> Encoder:
        encoder = self._encoder(space, (modality,))
        if space.space_id not in self._checked:
            check_fingerprint(encoder, space.encoder, space.fingerprint)
            self._checked.add(space.space_id)
        return encoder

    def _search(self, query: Query, metadata: bool) -> SearchResult:
        with self._lock:
            reader = self._refreshed()
            spaces = _spaces(reader.current, query)
            indexes = [self._opened(reader, space) for space in spaces]
        sums, notes = self._sums(query, reader, spaces)
        units = [_unit(total, "the query").astype(np.float32) for total in sums]
        lengths = [float(np.linalg.norm(total)) for total in sums]
        shares = [length / sum(lengths) for length in lengths]
        matches = best([Part(*one) for one in zip(indexes, units, shares, strict=True)], query.limit)
        ids = matches.ids.tolist()
        places = reader.places(ids)
        facts = reader.metadata(ids) if metadata else {}
        hits = tuple(
            Hit(reader.identity.uuid, image_id, score, places.get(image_id), facts.get(image_id, {}))
            for image_id, score in zip(ids, matches.scores.tolist(), strict=True)
        )
        answered = tuple(
            SpaceShare(space.space_id, space.encoder, share)
            for space, share in zip(spaces, shares, strict=True)
        )
        notes += tuple(space.note for space in spaces if space.note)
        return SearchResult(hits, reader.generation, len(indexes[0]), spaces[0].encoder, notes, answered)

    # -- the query's vectors ---------------------------------------------------------------------------

    def _sums(
        self, query: Query, reader: Reader, spaces: Sequence[SpaceInfo]
    ) -> tuple[list[Float64], tuple[str, ...]]:
        """(dim,) per space: the sum by weight of the unit vectors of the terms that speak to it."""
        sums = [np.zeros(space.dim) for space in spaces]
        notes: tuple[str, ...] = ()
        heaviest = max(abs(term.weight) for term in query.terms)  # only ratios count
        for term in query.terms:
            vectors, said = self._term(term, reader, spaces)
            for total, vector in zip(sums, vectors, strict=False):
                total += term.weight / heaviest * _unit(vector, "a term")
            notes += said
        return sums, notes

    def _term(
        self, term: Term, reader: Reader, spaces: Sequence[SpaceInfo]
    ) -> tuple[list[npt.NDArray[Any]], tuple[str, ...]]:
        """A vector in each of the spaces that the term speaks to: all, or only the first."""
        if term.text is not None:
            encoder = self._checked_encoder(spaces[0], "text")
            return [encoder.encode_texts([term.text])[0]], encoder.notes([term.text])
        if term.picture is not None:
            encoders = [self._checked_encoder(space, "image") for space in spaces]
            pixels = _pixels(term.picture, shared_draft_size(encoders))
            return [e.encode_images(e.prepare(pixels)[None])[0] for e in encoders], ()
        if term.image_id is not None:
            return [reader.vector(term.image_id, _shown_in(space, reader.current)) for space in spaces], ()
        vector = np.asarray(term.vector)
        if vector.shape != (spaces[0].dim,):
            raise QueryError(f"a vector of shape {vector.shape} in a space of {spaces[0].dim} dimensions")
        return [vector], ()

    # -- generations -----------------------------------------------------------------------------------

    def close(self) -> None:
        with self._lock:
            self._indexes.clear()
            self._reader.close()

    def _refreshed(self) -> Reader:
        """The reader of the newest generation; the lock must be held."""
        if read_current(self._root).generation != self._reader.generation:
            self._reader = self._reader.renewed()
            in_use = {space.space_id for space in self._reader.current.spaces}
            self._indexes = {i: opened for i, opened in self._indexes.items() if i in in_use}
        return self._reader

    def _opened(self, reader: Reader, space: SpaceInfo) -> VectorIndex:
        """The index of a space in the reader's generation, made from that of the one before; the lock must be held."""
        generation, index = self._indexes.get(space.space_id, (-1, None))
        if index is None or generation != reader.generation:
            index = open_index(self._kind, reader.segments(space.space_id), space.dim, like=index)
            missing = reader.current.images - len(index) - reader.silent(space.space_id)
            if missing:
                raise CorruptCollectionError(
                    f"{missing} images have no vector of {space.encoder}",
                    hint=f"imseek collection repair {self._root}",
                )
            self._indexes[space.space_id] = reader.generation, index
        return index


def _spaces(current: Current, query: Query) -> tuple[SpaceInfo, ...]:
    """Those that answer a query. Raises QueryError where captions are asked for and not embedded."""
    if query.by == "caption":
        if current.caption_space is None:
            raise QueryError(
                "the captions of this collection are not embedded",
                hint="imseek maintain --captions embeds them",
            )
        return (current.caption_space,)
    spaces = current.image_spaces
    return spaces if any(term.shows for term in query.terms) else spaces[:1]


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
