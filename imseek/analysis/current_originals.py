"""Read the original pictures of a collection's newest generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imseek.errors import MediaError
from imseek.types.pictures import SkipReason

if TYPE_CHECKING:
    from imseek.data.user_files.image_places import IndexedPlace
    from imseek.indexer.sources.picture_reader import IndexedPicture
    from imseek.search.backend import GenerationReader
    from imseek.search.engine import BaseEngine
    from imseek.search.generations import GenerationCache


@contextmanager
def open_originals(reader: GenerationReader) -> Iterator[Callable[[int], bytes]]:
    """Open the pictures of one generation, of a folder or in Milvus, for a search that looks at them.

    Yields a thread-safe function from an image id to the bytes as indexed, which raises as
    :meth:`CurrentOriginals.load`, and OSError.
    """
    from imseek.indexer.sources.picture_reader import PlaceReader

    with PlaceReader() as places:
        yield lambda image_id: places.load(reader.indexed_place(image_id)).data


class CurrentOriginals:
    """Reads original pictures of a collection that is open for search. Thread-safe.

    Reads one at a time; use :class:`imseek.analysis.originals.Originals` for many pictures of one generation.
    """

    def __init__(self, searching: BaseEngine[Any] | GenerationCache) -> None:
        self._engine = searching

    def place(self, image_id: int) -> IndexedPlace:
        """Return where an image is and what was indexed there.

        Raises ImageNotFoundError if the image is not live or its place is unknown.
        """
        place: IndexedPlace = self._engine.read(lambda reader: reader.indexed_place(image_id))
        return place

    def load(self, image_id: int) -> IndexedPicture:
        """Return the picture of an image.

        Raises ImageNotFoundError, ContentChangedError if something else is at its place now, MediaError if it cannot be
        read, and MissingExtraError.
        """
        from imseek.indexer.sources.picture_reader import PlaceReader

        place = self.place(image_id)
        try:
            with PlaceReader() as places:
                return places.load(place)
        except OSError as error:
            message = f"it cannot be read: {error.strerror or error}"
            raise MediaError(SkipReason.UNREADABLE, message) from error
