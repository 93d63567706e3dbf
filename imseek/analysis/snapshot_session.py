"""Work on one generation of a collection, which starts again if a purge removes its files meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex
from imseek.data.vectors.base import IdSet
from imseek.search.generations import GenerationCache, retry_if_stale
from imseek.search.where import Filters
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.collection_info import SpaceInfo

T = TypeVar("T")


class SnapshotSession:
    """The newest generation of a collection, held open with its vector indexes: a context manager.

    Raises CollectionNotFoundError, CorruptCollectionError.
    """

    def __init__(self, collection: AnyCollection) -> None:
        self.root = path_of(collection)
        self._generations = GenerationCache(self.root, "faiss")
        self._generation = self._generations.newest()

    def __enter__(self) -> SnapshotSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._generations.close()

    @property
    def reader(self) -> Reader:
        """The reader of the open generation."""
        return self._generation.reader

    def index(self, space: SpaceInfo) -> VectorIndex:
        """Return the index of a space. Raises CorruptCollectionError, MissingExtraError, StaleGenerationError."""
        return self._generations.index(self._generation, space)

    def damage_note(self, space: SpaceInfo) -> str | None:
        """Return what to tell users about a space whose approximate index is damaged or not trusted, else None."""
        return self._generation.notes.get(space.space_id)

    def renew(self) -> int:
        """Open the newest generation in place of one whose files are gone, and return its number."""
        number = self._generations.renew()
        self._generation = self._generations.newest()
        return number

    def run(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on the newest generation, again after a purge. Raises StaleGenerationError."""
        return retry_if_stale(lambda: work(self.reader), self)


def run_with_reader(collection: AnyCollection, work: Callable[[Reader], T]) -> T:
    """Run ``work`` on the newest generation. Raises CollectionNotFoundError, CorruptCollectionError."""
    with SnapshotSession(collection) as session:
        return session.run(work)


def filter_ids(reader: Reader, where: str | None) -> IdSet | None:
    """Return the images that satisfy a filter (docs/where.md), None without a filter. Raises QueryError."""
    return None if where is None else IdSet(Filters().ids(reader, where))
