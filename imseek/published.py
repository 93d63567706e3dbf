"""Search a collection published to Milvus as if it were local: ``imseek.open("milvus://…")``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from imseek.analysis.current_originals import CurrentOriginals, open_originals
from imseek.data.milvus.address import is_address as is_address
from imseek.data.milvus.address import parse
from imseek.data.milvus.client import Client
from imseek.encoders import registry
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderUnavailableError, MediaError, UsageError
from imseek.search.milvus.engine import PublishedEngine
from imseek.search.query import Question, as_queries, as_query
from imseek.search.query_options import QueryKeywords, with_query_keywords
from imseek.search.result_pages import HitOptions
from imseek.showing.pictures import OTHER_COLLECTION
from imseek.types.adapters import adapter_of
from imseek.types.collection_info import CollectionInfo, SpaceInfo, SpaceSummary
from imseek.types.pictures import Image, SkipReason
from imseek.types.search_results import ReadPicture, SearchResult
from imseek.types.word_completions import Suggestion, SuggestionKind

if TYPE_CHECKING:
    from imseek.encoders.base import Encoder


def connect(
    address: str, *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None
) -> PublishedCollection:
    """Open a published collection. Raises as :class:`PublishedCollection`."""
    return PublishedCollection(address, runtime, notify)


class PublishedCollection:
    """A collection published to Milvus by ``imseek publish``. Safe to use from several threads.

    Vectors and metadata come from Milvus. Queries are encoded here, with the collection's encoder. Pictures are read
    from their places at the time of publishing, if reachable from here. Raises UsageError, MissingExtraError,
    CollectionNotFoundError, ServerError, LockedError, StorageError.
    """

    def __init__(
        self,
        address: str,
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._notify = notify
        self._encoders: dict[tuple[str, tuple[str, ...]], Encoder] = {}
        self._lock = threading.Lock()
        client = Client(parse(address))
        try:
            self._engine = PublishedEngine(client, self._encoder, open_originals, runtime, notify)
        except BaseException:
            client.close()
            raise
        self.originals = CurrentOriginals(self._engine)
        self.address = str(client.address)
        self.name = client.address.name
        self.uuid = self._engine.reader.identity.uuid
        self.pictures = PublishedPictures(self.address)

    def __repr__(self) -> str:
        return f"<imseek.PublishedCollection {self.address!r}>"

    def __enter__(self) -> PublishedCollection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The collection must not be used afterwards."""
        self._encoders.clear()
        self._engine.close()

    @with_query_keywords
    def search(
        self,
        query: Question,
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> SearchResult:
        """Search as :meth:`imseek.Collection.search` does by image, with the same ids and scores.

        No words are published. Raises QueryError for a search by text, for a filter that Milvus cannot express and for
        hits beyond the best 16,384; ServerError or StorageError if Milvus fails.
        """
        (result,) = self._engine.search([as_query(query, **options)], HitOptions(metadata, vectors, self.pictures))
        return result

    @with_query_keywords
    def search_many(
        self,
        queries: Iterable[Question],
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> list[SearchResult]:
        """Search many queries, as :meth:`imseek.Collection.search_many`."""
        parsed = as_queries(queries, **options)
        return self._engine.search(parsed, HitOptions(metadata, vectors, self.pictures))

    def get(self, image_id: int) -> Image:
        """Return everything known about one image. Raises ImageNotFoundError."""
        return self._engine.read(lambda reader: reader.image(image_id))

    def suggest(
        self, text: str, *, limit: int = 10, kinds: Sequence[SuggestionKind] | None = None
    ) -> tuple[Suggestion, ...]:
        """Raise UsageError: words are not published. See :func:`imseek.overview.suggest`."""
        raise UsageError(
            "a published collection has no words to suggest",
            hint="suggest from the collection that it was published from",
        )

    def read(self, image_id: int) -> bytes:
        """Read the original bytes of a picture from its source, if reachable from here.

        Raises ImageNotFoundError, ContentChangedError if its content has changed, and MediaError if it is gone, or if
        its vector was made elsewhere and the picture was never read.
        """
        picture = self.originals.load(image_id)
        if not picture.is_verified:
            raise MediaError(SkipReason.VANISHED, "only its vector is known, not what the picture was")
        return picture.data

    def info(self) -> CollectionInfo:
        """Return counts, encoder and generation as published."""
        reader = self._engine.reader
        current = reader.current
        return CollectionInfo(
            path=self.address,
            uuid=self.uuid,
            format=current.format,
            created=reader.identity.created,
            generation=current.generation,
            images=current.images,
            dead_rows=0,
            shards=0,
            bytes_on_disk=0,
            encoder=current.space,
            sources=(),
            failures=(),
            index="Milvus, exact (FLAT, float32)",
            spaces=tuple(SpaceSummary(space, None, ()) for space in current.spaces),
        )

    def _encoder(self, space: SpaceInfo, modalities: tuple[str, ...]) -> Encoder:
        if adapter_of(space.encoder) is not None:
            raise EncoderUnavailableError(
                f"the vectors are of {space.encoder}, whose adapter is inside the collection itself",
                hint="ask with a stored image (id:N) or a vector, or `imseek tune --back` and publish again",
            )
        key = space.fingerprint, modalities
        with self._lock:
            if key not in self._encoders:
                self._encoders[key] = registry.load(
                    space.encoder,
                    modalities=modalities,
                    runtime=self._runtime,
                    fingerprint=space.fingerprint,
                    notify=self._notify,
                )
            return self._encoders[key]


@dataclass(frozen=True, slots=True)
class PublishedPictures:
    """Reads pictures of a published collection; implements :class:`imseek.types.search_results.Pictures`."""

    address: str

    @contextmanager
    def opened(self) -> Iterator[ReadPicture]:
        with connect(self.address) as collection:

            def read(uuid: str, image_id: int, side: int) -> bytes:
                if uuid != collection.uuid:
                    raise MediaError(SkipReason.VANISHED, OTHER_COLLECTION)
                return collection.read(image_id)

            yield read

    def html(self, result: SearchResult) -> str:
        """Render the hits as a grid for notebooks; never raises."""
        from imseek.showing.grid import render_result

        return render_result(result, self.opened)
