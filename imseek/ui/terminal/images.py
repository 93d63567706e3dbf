"""Pictures as widgets: by the terminal's own means where it has some, else as coloured characters."""

from __future__ import annotations

import io
from typing import Any

from rich.segment import Segment, Segments
from textual.widget import Widget
from textual.widgets import Static
from textual_image import renderable, widget

from imseek.ui.terminal.drawing import blocks


def image_widget() -> Widget:
    """What it shows is its ``image``, an open file or None.

    textual_image has asked the terminal when it was imported. Where the result of `browse` is piped elsewhere, it finds
    no terminal at standard output, which its sequences would go to: then characters do.
    """
    if renderable.Image in (renderable.TGPImage, renderable.SixelImage):
        made: Widget = widget.Image(classes="image")
        return made
    return Blocks(classes="image")


def put(picture: bytes | str | None, image: Widget, words: Static) -> None:
    """A picture into its place, encoded; or, in the place of it, why there is none. None: not yet."""
    image.display = isinstance(picture, bytes)
    words.display = not image.display
    if isinstance(picture, bytes):
        image.image = io.BytesIO(picture)  # type: ignore[attr-defined]
    else:
        words.update("…" if picture is None else picture)


class Blocks(Widget):
    """A picture in the middle of what room there is, two pixels to a character."""

    DEFAULT_CSS = "Blocks { width: 100%; height: 100%; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._image: io.BytesIO | None = None
        self._drawn: tuple[tuple[int, int], Segments] | None = None

    @property
    def image(self) -> io.BytesIO | None:
        return self._image

    @image.setter
    def image(self, value: io.BytesIO | None) -> None:
        self._image = value
        self._drawn = None
        self.refresh()

    def render(self) -> Any:
        box = (self.size.width, self.size.height)
        if self._image is None or not all(box):
            return ""
        if self._drawn is None or self._drawn[0] != box:
            self._drawn = box, _centred(self._image.getvalue(), box)
        return self._drawn[1]


def _centred(picture: bytes, box: tuple[int, int]) -> Segments:
    from imseek.media import decode

    lines = blocks(decode(picture, measured=False).pixels, box)
    left = " " * ((box[0] - len(lines[0])) // 2)
    segments = [Segment("\n" * ((box[1] - len(lines)) // 2))]
    for line in lines:
        segments += [Segment(left), *line, Segment.line()]
    return Segments(segments)
