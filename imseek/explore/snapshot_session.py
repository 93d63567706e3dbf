"""Run work on one generation of a collection, and start again if a purge removes its files meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from imseek.data.current_file import read_current
from imseek.data.reader import Reader
from imseek.data.vectors.base import IdSet
from imseek.errors import StaleGenerationError
from imseek.search.where import Filters
from imseek.types import AnyCollection, Place, path_of

T = TypeVar("T")


def run_with_reader(collection: AnyCollection, work: Callable[[Reader], T]) -> T:
    """Run ``work`` on the newest generation. Raises CollectionNotFoundError, CorruptCollectionError."""
    root = path_of(collection)
    while True:
        reader = Reader(root)
        try:
            return work(reader)
        except StaleGenerationError:
            if read_current(root).generation == reader.generation:
                raise
        finally:
            reader.close()


def find_places(collection: AnyCollection, image_ids: Iterable[int]) -> dict[int, Place]:
    """Return the current paths of images, without those missing or unknown. Raises like :func:`run_with_reader`."""
    wanted = list(dict.fromkeys(image_ids))
    return run_with_reader(collection, lambda reader: reader.places(wanted))


def filter_ids(reader: Reader, where: str | None) -> IdSet | None:
    """Return the images that satisfy a filter (docs/where.md), None without a filter. Raises QueryError."""
    return None if where is None else IdSet(Filters().ids(reader, where))
