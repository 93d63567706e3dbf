"""Read original pictures by image id, wherever they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from imseek.data.reader import Reader
from imseek.errors import ImseekError, MediaError, StaleGenerationError
from imseek.indexer.sources.picture_reader import IndexedPicture, PlaceReader
from imseek.types.pictures import SkipReason


class Originals:
    """Reads original pictures of one generation and keeps their archives and tables open. Thread-safe.

    The places of the ids in ``expected`` are looked up together; those of other ids one by one.
    """

    def __init__(self, reader: Reader, expected: Sequence[int] = ()) -> None:
        self._reader = reader
        self._places = reader.indexed_places(expected)
        self._place_reader = PlaceReader()

    def __enter__(self) -> Self:
        self._place_reader.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._place_reader.__exit__()

    def read(self, image_id: int) -> bytes | None:
        """Return the bytes as indexed, or None if they are gone, have changed or cannot be read.

        Raises StaleGenerationError if the generation has been purged since.
        """
        return None if (picture := self.find(image_id)) is None else picture.data

    def find(self, image_id: int) -> IndexedPicture | None:
        """As :meth:`read`, with the format."""
        try:
            return self.load(image_id)
        except StaleGenerationError:
            raise
        except (ImseekError, OSError):
            return None

    def load(self, image_id: int) -> IndexedPicture:
        """As :meth:`find`, but also raises MediaError, MissingExtraError and OSError that say why the picture cannot be
        read."""
        if image_id not in self._places:
            self._places.update(self._reader.indexed_places([image_id]))
        if (place := self._places.get(image_id)) is None:
            raise MediaError(SkipReason.VANISHED, f"the location of image {image_id} is unknown")
        return self._place_reader.load(place)
