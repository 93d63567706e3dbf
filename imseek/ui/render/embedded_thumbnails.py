"""Embed thumbnails in a page, within limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Image = TypeVar("Image")


class EmbeddedThumbnails:
    """Chooses the thumbnails of a page: at most ``pictures``, of ``bytes`` bytes before base64.

    ``left_out`` counts the pictures beyond these limits.
    """

    def __init__(self, pictures: int = 2_000, bytes: int = 24_000_000) -> None:  # noqa: A002 - what it bounds
        self._pictures = pictures
        self._bytes = bytes
        self.left_out = 0

    def embed(self, read: Callable[[Image], bytes | None], image: Image) -> bytes | str:
        """Return the WebP that ``read`` returns for ``image``, or why the page has none."""
        data = read(image) if self._pictures else b""
        if data is None:
            return "cannot be read"
        if not self._pictures or len(data) > self._bytes:
            self.left_out += 1
            return "left out"
        self._pictures -= 1
        self._bytes -= len(data)
        return data
