"""From a query to hits: encode its terms, fuse them, ask the vector index, look up the places."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.current import read_current
from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex, open_index
from imseek.encoders.base import Encoder
from imseek.errors import EncoderMismatchError, MediaError, QueryError, StaleGenerationError
from imseek.search.query import Query, Term
from imseek.types import Float32, Hit, SearchResult, SpaceInfo

T = TypeVar("T")

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
        self._index: VectorIndex | None = None
        self._indexed = -1

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
                    self._reader, self._indexed = Reader(self._root), -1
                    newest = self._reader.generation
                if newest == failed:
                    raise
                failed = newest

    def checked_encoder(self, modalities: tuple[str, ...]) -> Encoder:
        """The encoder of the current space, once it has shown that it made it. Raises EncoderMismatchError."""
        space = self.reader.current.space
        encoder = self._encoder(space, modalities)
        if space.space_id not in self._checked:
            fingerprint = encoder.fingerprint()
            if fingerprint != space.fingerprint:
                raise EncoderMismatchError(
                    f"this collection was made with other weights of {space.encoder}: "
                    f"{space.fingerprint[:16]}… there, {fingerprint[:16]}… here",
                    hint="use the weights it was made with, or index into a new collection",
                )
            self._checked.add(space.space_id)
        return encoder

    def _search(self, query: Query, metadata: bool) -> SearchResult:
        with self._lock:
            reader, index = self._opened()
        space = reader.current.space
        vector, notes = self._vector(query, reader, space)
        matches = index.search(vector[None], query.limit)[0]
        ids = matches.ids.tolist()
        places = reader.places(ids)
        facts = reader.metadata(ids) if metadata else {}
        hits = tuple(
            Hit(reader.identity.uuid, image_id, score, places.get(image_id), facts.get(image_id, {}))
            for image_id, score in zip(ids, matches.scores.tolist(), strict=True)
        )
        if space.note:
            notes = (*notes, space.note)
        return SearchResult(hits, reader.generation, len(index), space.encoder, notes)

    # -- the query's vector ----------------------------------------------------------------------------

    def _vector(self, query: Query, reader: Reader, space: SpaceInfo) -> tuple[Float32, tuple[str, ...]]:
        """(dim,) float32, unit: the sum of the terms' unit vectors by weight."""
        total = np.zeros(space.dim, np.float32)
        notes: tuple[str, ...] = ()
        for term in query.terms:
            vector, said = self._term(term, reader, space)
            total += np.float32(term.weight) * _unit(vector, "a term")
            notes += said
        return _unit(total, "the query"), notes

    def _term(self, term: Term, reader: Reader, space: SpaceInfo) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        if term.text is not None:
            encoder = self.checked_encoder(("text",))
            return encoder.encode_texts([term.text])[0], encoder.notes([term.text])
        if term.picture is not None:
            encoder = self.checked_encoder(("image",))
            prepared = encoder.prepare(_pixels(term.picture, encoder.info.draft_size))
            return encoder.encode_images(prepared[None])[0], ()
        if term.image_id is not None:
            return reader.vector(term.image_id, space.space_id), ()
        vector = np.asarray(term.vector)
        if vector.shape != (space.dim,):
            raise QueryError(f"a vector of shape {vector.shape} in a space of {space.dim} dimensions")
        return vector, ()

    # -- generations -----------------------------------------------------------------------------------

    def close(self) -> None:
        with self._lock:
            self._index = None
            self._reader.close()

    def _refreshed(self) -> Reader:
        """The reader of the newest generation; the lock must be held."""
        if read_current(self._root).generation != self._reader.generation:
            self._reader = self._reader.renewed()
        return self._reader

    def _opened(self) -> tuple[Reader, VectorIndex]:
        """A reader and the index of its generation, made from that of the one before; the lock must be held."""
        reader = self._refreshed()
        if self._index is None or self._indexed != reader.generation:
            space = reader.current.space
            segments = reader.segments(space.space_id)
            self._index = open_index(self._kind, segments, space.dim, like=self._index)
            self._indexed = reader.generation
        return reader, self._index


def _unit(vector: npt.NDArray[Any], what: str) -> Float32:
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm) or norm < 1e-6:
        raise QueryError(f"{what} has no direction: its vector is zero or not finite")
    return (wide / norm).astype(np.float32)


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
