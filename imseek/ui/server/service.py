"""Collections served over HTTP: each is opened once, with its batcher and thread pools."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, ParamSpec, TypeAlias, TypeVar

import numpy as np

import imseek
from imseek import library, media
from imseek.collection import Collection, embedder
from imseek.errors import CollectionNotFoundError, MediaError, QueryError
from imseek.media import FetchLimits, Limits
from imseek.search import Query, Term, load_picture, unusable_picture_error
from imseek.types.arrays import Float32
from imseek.types.search_results import SearchResult
from imseek.ui.server.batching import Batcher
from imseek.ui.server.settings import MEBI, Settings

P = ParamSpec("P")
R = TypeVar("R")

#: Limits of one query. Text towers read some 77 tokens at a time: encoding a book would take hours.
MAX_TERMS: Final = 64
MAX_CHARACTERS: Final = 20_000
#: Limits for pictures that a query names by URL.
_FETCH_LIMITS: Final = FetchLimits(max_bytes=32 * MEBI, total=20.0)

_Stamp: TypeAlias = tuple[int, int] | None


class NotServedError(CollectionNotFoundError):
    """No collection of that name is served."""


class ThreadPools:
    """Thread pools by kind of work, so that slow disks, slow sites and decoding do not block each other.

    Decoding gets two threads, so that it does not take all processors.
    """

    def __init__(self) -> None:
        self._reading = ThreadPoolExecutor(8, "reading")
        self._fetching = ThreadPoolExecutor(8, "fetching")
        self._pixels = ThreadPoolExecutor(2, "pixels")

    async def read(self, work: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, lambda: work(*args, **keywords))

    async def fetch(self, work: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._fetching, lambda: work(*args, **keywords))

    async def look(self, work: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pixels, lambda: work(*args, **keywords))

    def close(self) -> None:
        for pool in (self._reading, self._fetching, self._pixels):
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts and picture files to encode, at most ``MAX_TERMS`` together."""

    texts: tuple[str, ...] = ()
    pictures: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Check the sizes. Raises QueryError."""
        if not 0 < len(self.texts) + len(self.pictures) <= MAX_TERMS:
            raise QueryError(f"a request encodes 1 to {MAX_TERMS} texts and pictures")
        _check_lengths(self.texts)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingResult:
    """The unit rows (n, dim) of texts and of pictures, and the encoder that made them."""

    encoder: str
    fingerprint: str
    texts: Float32
    pictures: Float32


@dataclass(frozen=True, slots=True)
class ServedCollection:
    """One served collection with its name."""

    name: str
    collection: Collection
    batcher: Batcher[tuple[Query, bool], SearchResult]
    embedding: Batcher[EmbedRequest, EmbeddingResult]
    limits: Limits
    threads: ThreadPools

    async def search(self, query: Query, *, vectors: bool = False) -> SearchResult:
        """Search the collection. Raises as :meth:`imseek.Collection.search`, and OverloadedError."""
        _check_size(query)
        # Before queueing: rejects invalid or oversized pictures, and waits for slow ones.
        terms, size = [], 0
        for term in query.terms:
            terms.append(await self._fetch_picture(term))
            if term.url is not None and isinstance(picture := terms[-1].picture, bytes):
                size += len(picture)
            if size > _FETCH_LIMITS.max_bytes:
                raise QueryError(
                    f"the pictures that a query names have {_FETCH_LIMITS.max_bytes:,} bytes at most together"
                )
        return await self.batcher.ask((replace(query, terms=tuple(terms)), vectors))

    async def _fetch_picture(self, term: Term) -> Term:
        data, name = term.picture, "the bytes given"
        if term.url is not None:
            data, name = await self.threads.fetch(load_picture, term, _FETCH_LIMITS)
        elif term.image_id is not None and term.region is not None:
            original = await self.threads.read(self.collection.originals.load, int(term.image_id))
            data, name = original.data, f"image {term.image_id}"
        if not isinstance(data, bytes):
            return term
        try:
            await self.threads.look(media.decode, data, min_side=64, limits=self.limits)
        except MediaError as error:
            raise unusable_picture_error(name, error) from error
        return term if term.image_id is not None else replace(term, url=None, picture=data)


def _check_size(query: Query) -> None:
    """Check the number of terms and of characters. Raises QueryError."""
    if len(query.terms) > MAX_TERMS:
        raise QueryError(f"a query to a server has at most {MAX_TERMS} terms")
    _check_lengths(term.text for term in query.terms if term.text is not None)


def _check_lengths(texts: Iterable[str]) -> None:
    if any(len(text) > MAX_CHARACTERS for text in texts):
        raise QueryError(f"words of a query to a server have at most {MAX_CHARACTERS:,} characters")


class Service:
    """Opens collections on first use. Thread-safe."""

    def __init__(self, settings: Settings, runtime: imseek.Runtime | None = None) -> None:
        self.settings = settings
        self._runtime = runtime
        self._paths = dict(settings.collections)
        self._served: dict[str, tuple[ServedCollection, Path, _Stamp]] = {}
        self._replaced: list[ServedCollection] = []
        self._lock = threading.Lock()
        self.threads = ThreadPools()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._paths)

    def offer(self, name: str, path: Path) -> None:
        """Serve the collection at that path from the next request on, replacing another of that name."""
        if self._paths.get(name) == path:
            return
        with self._lock:
            self._paths = {**self._paths, name: path}  # A new dict: concurrent readers keep theirs.

    def get(self, name: str | None) -> ServedCollection:
        """Return the collection of a name, or the first one; it is reopened if another has replaced it on disk.

        Raises NotServedError, and as :func:`imseek.open`.
        """
        paths = self._paths
        name = next(iter(paths), "") if name is None else name
        path = paths.get(name)
        if path is None:
            raise NotServedError(f"no collection {name!r} is served", hint="GET /collections lists them")
        with self._lock:
            stamp = library.identity_stamp(path)
            before = self._served.get(name)
            # A collection that has disappeared may come back, and reports its own error when used.
            if before is not None and before[1] == path and stamp in (None, before[2]):
                return before[0]
            served = self._open_collection(name, path)
            self._served[name] = (served, path, stamp)
            if before is not None:
                self._replaced.append(before[0])  # Running requests may still use it.
            return served

    def _open_collection(self, name: str, path: Path) -> ServedCollection:
        collection = imseek.open(path, runtime=self._runtime)

        def together(requests: Sequence[tuple[Query, bool]]) -> list[SearchResult]:
            results: dict[int, SearchResult] = {}
            for vectors in (False, True):
                positions = [i for i, (_, with_vectors) in enumerate(requests) if with_vectors == vectors]
                if positions:
                    answers = collection.search_many([requests[i][0] for i in positions], vectors=vectors)
                    results.update(zip(positions, answers, strict=True))
            return [results[i] for i in range(len(requests))]

        def alone(request: tuple[Query, bool]) -> SearchResult:
            return collection.search(request[0], vectors=request[1])

        limits = Limits(max_pixels=self.settings.pixels)
        embedding: Batcher[EmbedRequest, EmbeddingResult] = Batcher(
            lambda requests: _embed(collection, limits, requests), lambda one: _embed(collection, limits, [one])[0]
        )
        return ServedCollection(name, collection, Batcher(together, alone), embedding, limits, self.threads)

    async def close(self) -> None:
        for served in (*self._replaced, *(served for served, *_ in self._served.values())):
            await served.batcher.close()
            await served.embedding.close()
            served.collection.close()
        self.threads.close()


def _embed(collection: Collection, limits: Limits, requests: Sequence[EmbedRequest]) -> list[EmbeddingResult]:
    """Encode what several requests ask for, their texts together. Raises QueryError, MediaError."""
    encoder = embedder(collection, limits)
    texts = [text for one in requests for text in one.texts]
    if texts and "text" not in encoder.info.modalities:
        raise QueryError(f"{encoder.info.reference} knows no words")
    rows = np.split(encoder.texts(texts), np.cumsum([len(one.texts) for one in requests])[:-1])
    reference, fingerprint = encoder.info.reference, encoder.fingerprint()
    return [
        EmbeddingResult(reference, fingerprint, text_rows, encoder.images(one.pictures))
        for one, text_rows in zip(requests, rows, strict=True)
    ]
