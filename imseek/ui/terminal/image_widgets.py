"""Widgets that show a picture: by the terminal's graphics protocol if it has one, else as coloured characters."""

from __future__ import annotations

import io
from typing import Any

from rich.segment import Segment, Segments
from textual.widget import Widget
from textual.widgets import Static
from textual_image import renderable, widget

from imseek.ui.terminal.graphics import render_blocks


def image_widget() -> Widget:
    """Create a widget that shows its ``image``, an open file or None.

    textual_image queried the terminal when it was imported. If the output of `browse` is piped, it finds no terminal at
    standard output, where its sequences would go, so characters are used.
    """
    if renderable.Image in (renderable.TGPImage, renderable.SixelImage):
        made: Widget = widget.Image(classes="image")
        return made
    return Blocks(classes="image")


def update_picture(picture: bytes | str | None, image: Widget, words: Static) -> None:
    """Show an encoded picture, or in its place the reason why there is none, or "…" for None (not loaded yet)."""
    image.display = isinstance(picture, bytes)
    words.display = not image.display
    if isinstance(picture, bytes):
        image.image = io.BytesIO(picture)  # type: ignore[attr-defined]
    else:
        words.update("…" if picture is None else picture)


class Blocks(Widget):
    """A picture in half blocks, two pixels per character, centred in the widget."""

    DEFAULT_CSS = "Blocks { width: 100%; height: 100%; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._image: io.BytesIO | None = None
        self._blocks: tuple[tuple[int, int], Segments] | None = None

    @property
    def image(self) -> io.BytesIO | None:
        return self._image

    @image.setter
    def image(self, value: io.BytesIO | None) -> None:
        self._image = value
        self._blocks = None
        self.refresh()

    def render(self) -> Any:
        box = (self.size.width, self.size.height)
        if self._image is None or not all(box):
            return ""
        if self._blocks is None or self._blocks[0] != box:
            self._blocks = box, _centre_blocks(self._image.getvalue(), box)
        return self._blocks[1]


def _centre_blocks(picture: bytes, box: tuple[int, int]) -> Segments:
    from imseek import media

    lines = render_blocks(media.decode(picture, measured=False).pixels, box)
    left = " " * ((box[0] - len(lines[0])) // 2)
    segments = [Segment("\n" * ((box[1] - len(lines)) // 2))]
    for line in lines:
        segments += [Segment(left), *line, Segment.line()]
    return Segments(segments)
