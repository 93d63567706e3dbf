"""The newest generation of a collection with its vector indexes, reopened when a purge intervenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex
from imseek.errors import StaleGenerationError
from imseek.search.generations import GenerationCache
from imseek.types import SpaceInfo

T = TypeVar("T")


class OpenGeneration:
    """A context manager that holds the newest generation open.

    Raises CollectionNotFoundError, CorruptCollectionError.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> OpenGeneration:
        self._editions = GenerationCache(self.root, "faiss")
        self._edition = self._editions.newest()
        return self

    def __exit__(self, *details: object) -> None:
        self._editions.close()

    @property
    def reader(self) -> Reader:
        """The reader of the open generation."""
        return self._edition.reader

    def index(self, space: SpaceInfo) -> VectorIndex:
        """Return the index of a space. Raises CorruptCollectionError, MissingExtraError, StaleGenerationError."""
        return self._editions.index(self._edition, space)

    def renew(self) -> bool:
        """Move to the newest generation after a StaleGenerationError; return False where there is no newer one."""
        before = self._edition.reader.generation
        newer = self._editions.renew() != before
        self._edition = self._editions.newest()
        return newer

    def reading(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on the newest generation, again after a purge."""
        while True:
            try:
                return work(self.reader)
            except StaleGenerationError:
                if not self.renew():
                    raise
