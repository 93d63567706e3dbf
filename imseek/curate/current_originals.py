"""Pictures of a collection's newest generation, as they were indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imseek.errors import MediaError
from imseek.types import SkipReason

if TYPE_CHECKING:
    from imseek.data.image_places import IndexedPlace
    from imseek.indexer.sources.place_reader import IndexedPicture
    from imseek.search.engine import Searching


class CurrentOriginals:
    """Reads the pictures of a collection that is open for searches. Safe to use from several threads.

    Each is read by itself; :class:`imseek.curate.originals.Originals` is for many of one generation.
    """

    def __init__(self, searching: Searching[Any]) -> None:
        self._searching = searching

    def place(self, image_id: int) -> IndexedPlace:
        """Where an image lies, and what was indexed there.

        Raises ImageNotFoundError where it is not live, or it is not known where it lies.
        """
        found: IndexedPlace = self._searching.read(lambda reader: reader.indexed_place(image_id))
        return found

    def load(self, image_id: int) -> IndexedPicture:
        """The picture of an image.

        Raises ImageNotFoundError, ContentChangedError where something else lies at its place now, MediaError where it
        cannot be had, MissingExtraError.
        """
        from imseek.indexer.sources.place_reader import PlaceReader

        place = self.place(image_id)
        try:
            with PlaceReader() as places:
                return places.load(place)
        except OSError as error:
            message = f"it cannot be read: {error.strerror or error}"
            raise MediaError(SkipReason.UNREADABLE, message) from error
