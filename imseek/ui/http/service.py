"""The collections that are served, opened once, with what answers for each of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imseek
from imseek.collection import Collection
from imseek.errors import CollectionNotFoundError, MediaError, QueryError
from imseek.media import Limits, decode
from imseek.search.query import Query
from imseek.types import SearchResult
from imseek.ui.http.batching import Batcher
from imseek.ui.http.settings import Settings


@dataclass(frozen=True, slots=True)
class Served:
    """One collection under its name."""

    name: str
    collection: Collection
    batcher: Batcher[tuple[Query, bool], SearchResult]
    limits: Limits

    async def search(self, query: Query, *, vectors: bool = False) -> SearchResult:
        """Raises as :meth:`imseek.Collection.search`, and OverloadedError."""
        # Before they take places in the queue: pictures that are none, or too large for this server, fail alone.
        for term in query.terms:
            if isinstance(term.picture, bytes):
                await asyncio.to_thread(self._check, term.picture)
        return await self.batcher.ask((query, vectors))

    def _check(self, picture: bytes) -> None:
        try:
            decode(picture, min_side=64, limits=self.limits)
        except MediaError as error:
            raise QueryError(f"cannot use the bytes given as a query: {error}", hint=error.hint) from error


class Service:
    """Opens collections when they are first asked for. Safe to use from several threads."""

    def __init__(self, settings: Settings, runtime: imseek.Runtime | None = None) -> None:
        self.settings = settings
        self._runtime = runtime
        self._paths = dict(settings.collections)
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._paths)

    def get(self, name: str | None) -> Served:
        """The collection of a name, or the first. Raises CollectionNotFoundError, without where it would lie."""
        name = self.names[0] if name is None else name
        path = self._paths.get(name)
        if path is None:
            raise CollectionNotFoundError(
                f"no collection {name!r} is served", hint="GET /collections lists them"
            )
        with self._lock:
            if name not in self._served:
                self._served[name] = self._opened(name, path)
            return self._served[name]

    def _opened(self, name: str, path: Path) -> Served:
        collection = imseek.open(path, runtime=self._runtime)

        def together(asked: Sequence[tuple[Query, bool]]) -> list[SearchResult]:
            found: dict[int, SearchResult] = {}
            for vectors in (False, True):
                at = [i for i, (_, wanted) in enumerate(asked) if wanted == vectors]
                if at:
                    answers = collection.search_many([asked[i][0] for i in at], vectors=vectors)
                    found.update(zip(at, answers, strict=True))
            return [found[i] for i in range(len(asked))]

        def alone(asked: tuple[Query, bool]) -> SearchResult:
            return collection.search(asked[0], vectors=asked[1])

        return Served(name, collection, Batcher(together, alone), Limits(max_pixels=self.settings.pixels))

    async def close(self) -> None:
        for served in self._served.values():
            await served.batcher.close()
            served.collection.close()
