"""The interface shared by all searchable collections: local folders, remote servers and Milvus publications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, Unpack, runtime_checkable

from imseek.search.query import Question
from imseek.search.query_options import QueryKeywords
from imseek.types.collection_info import CollectionInfo
from imseek.types.pictures import Image
from imseek.types.search_results import SearchResult

#: Maximum hits in one server response, over all its queries; a hit with its vector counts as ``VECTOR_COST`` hits.
MAX_HITS_PER_RESPONSE: Final = 100_000
VECTOR_COST: Final = 10


@runtime_checkable
class Searchable(Protocol):
    """A collection that can be searched.

    Implemented by :class:`imseek.Collection`, :class:`imseek.RemoteCollection` (on a server) and
    :class:`imseek.PublishedCollection` (in Milvus).
    """

    @property
    def uuid(self) -> str: ...

    def search(
        self,
        query: Question,
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> SearchResult: ...

    def search_many(
        self,
        queries: Iterable[Question],
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> list[SearchResult]: ...

    def get(self, image_id: int) -> Image: ...

    def read(self, image_id: int) -> bytes: ...

    def info(self) -> CollectionInfo: ...

    def close(self) -> None: ...
