"""What collections have in common, wherever they are: a folder here, a server elsewhere, rows in a Milvus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from imseek.search.query import By, Question
from imseek.types import CollectionInfo, Image, SearchResult

#: Hits that a server gives in one answer, over all its queries; one with its vector counts as so many.
TOGETHER: Final = 100_000
VECTOR: Final = 10


@runtime_checkable
class Searchable(Protocol):
    """A :class:`imseek.Collection`, one that a server has (:class:`imseek.RemoteCollection`), or one that was published
    to Milvus (:class:`imseek.PublishedCollection`)."""

    @property
    def uuid(self) -> str: ...

    def search(
        self,
        query: Question,
        *,
        limit: int = 10,
        by: By = "image",
        metadata: bool = True,
        vectors: bool = False,
    ) -> SearchResult: ...

    def search_many(
        self,
        queries: Sequence[Question],
        *,
        limit: int = 10,
        by: By = "image",
        metadata: bool = True,
        vectors: bool = False,
    ) -> list[SearchResult]: ...

    def get(self, image_id: int) -> Image: ...

    def read(self, image_id: int) -> bytes: ...

    def info(self) -> CollectionInfo: ...

    def close(self) -> None: ...
