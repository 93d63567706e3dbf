"""Embed thumbnails in a page as data URIs, within limits."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from imseek.showing import data_uri


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
