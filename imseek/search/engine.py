"""From a query to hits: encode its terms, fuse them, ask the vector indexes, look up the places."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imseek.data.current import Current, read_current
from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex, open_index
from imseek.encoders.base import Encoder
from imseek.errors import CorruptCollectionError, QueryError, StaleGenerationError
from imseek.search.compose import Composer, EncoderSource
from imseek.search.fusion import Part, best
from imseek.search.query import Query
from imseek.types import Hit, SearchResult, SpaceInfo, SpaceShare

T = TypeVar("T")


class Engine:
    """Searches one collection. Safe to use from several threads.

    Each search answers from one generation; a new one is taken up between searches.
    """

    def __init__(self, root: Path, encoder: EncoderSource, *, kind: str = "faiss") -> None:
        self._root = root
        self._composer = Composer(encoder)
        self._kind = kind
        self._lock = threading.Lock()
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
        return {space.space_id: self._composer.encoder(space, "image") for space in spaces}

    def caption_encoders(self) -> dict[int, Encoder]:
        """That of the space of captions by its id, where there is one. Raises EncoderMismatchError."""
        space = self.reader.current.caption_space
        return {} if space is None else {space.space_id: self._composer.encoder(space, "text")}

    def _search(self, query: Query, metadata: bool) -> SearchResult:
        with self._lock:
            reader = self._refreshed()
            spaces = _spaces(reader.current, query)
            indexes = [self._opened(reader, space) for space in spaces]
        asked = self._composer.compose(query, reader, spaces)
        parts = [Part(*one) for one in zip(indexes, asked.units, asked.shares, strict=True)]
        matches = best(parts, query.limit)
        ids = matches.ids.tolist()
        places = reader.places(ids)
        facts = reader.metadata(ids) if metadata else {}
        hits = tuple(
            Hit(reader.identity.uuid, image_id, score, places.get(image_id), facts.get(image_id, {}))
            for image_id, score in zip(ids, matches.scores.tolist(), strict=True)
        )
        answered = tuple(
            SpaceShare(space.space_id, space.encoder, share)
            for space, share in zip(spaces, asked.shares, strict=True)
        )
        notes = asked.notes + tuple(space.note for space in spaces if space.note)
        return SearchResult(hits, reader.generation, len(indexes[0]), spaces[0].encoder, notes, answered)

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
            snapshot = reader.snapshot(space.space_id)
            index = open_index(
                self._kind, reader.segments(space.space_id), space.dim, like=index, snapshot=snapshot
            )
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
