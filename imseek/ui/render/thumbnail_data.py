"""Embed thumbnails in a page as data URIs, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from html import escape
from pathlib import Path
from typing import Final

from imseek.showing.grid import data_uri

#: Longer side of thumbnails, in pixels.
SIDE: Final = 320


@contextmanager
def thumbnails(
    root: Path, image_ids: Sequence[int] = (), side: int = SIDE
) -> Iterator[Callable[[int], bytes | None]]:
    """Yield a function that returns an image's WebP of at most ``side`` pixels, or None if it cannot be read.

    Pictures are read from their places while the context is open; places of ``image_ids`` are looked up in advance.
    Raises CollectionNotFoundError, and in use StaleGenerationError if a purge has changed the collection since.
    """
    from imseek.analysis.originals import Originals
    from imseek.data.reader import Reader
    from imseek.errors import MediaError
    from imseek.media import decode, thumbnail

    with closing(Reader(root)) as reader, Originals(reader, image_ids) as originals:

        def make(image_id: int) -> bytes | None:
            try:
                data = originals.read(image_id)
                return (
                    None
                    if data is None
                    else thumbnail(decode(data, min_side=side, measured=False).pixels, side)
                )
            except MediaError:  # Its content has changed, or its codec is missing.
                return None

        yield make


class EmbeddedThumbnails:
    """Renders picture tags for a page, up to ``pictures`` thumbnails and ``bytes`` bytes before base64.

    ``left_out`` counts the pictures beyond these limits.
    """

    def __init__(self, pictures: int = 2_000, bytes: int = 24_000_000) -> None:  # noqa: A002 - what it bounds
        self._pictures = pictures
        self._bytes = bytes
        self.left_out = 0

    def tag(self, read: Callable[[], bytes | None], alt: str) -> str:
        """Return an ``<img>``, or a ``<div class="none">`` with the reason. ``read`` returns a WebP, or None."""
        if not self._pictures:
            return self._without()
        if (data := read()) is None:
            return '<div class="none">cannot be read</div>'
        if len(data) > self._bytes:
            return self._without()
        self._pictures -= 1
        self._bytes -= len(data)
        return f'<img src="{data_uri(data)}" alt="{escape(alt)}">'

    def _without(self) -> str:
        self.left_out += 1
        return '<div class="none">left out</div>'
