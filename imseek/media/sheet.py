"""Draw contact sheets: one PNG with a row per query and its results."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from imseek.media.thumbnails import fit
from imseek.types.arrays import Pixels

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MARGIN: Final = 28  # pixels around the sheet, and above and below the line between rows
_GAP: Final = 14  # between two cells
_LABEL_GAP: Final = 24  # between the query and its first cell
_CAPTION_GAP: Final = 7

_TITLE_SIZE: Final = 19
_CAPTION_SIZE: Final = 13
_LEADING: Final = 1.35  # line height in font sizes

_PAPER: Final = "#ffffff"
_TILE: Final = "#f4f4f3"
_RULE: Final = "#e4e4e2"
_INK: Final = "#1f1f1e"
_GREY: Final = "#83827f"
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """A result: its picture, (h, w, 3) uint8, or the reason why it has none, and its caption.

    The first line of the caption is dark, further ones are grey.
    """

    pixels: Pixels | str
    caption: str


@dataclass(frozen=True, slots=True)
class Row:
    """A query and its results, best first. An image query shows its picture, with ``title`` below it."""

    title: str
    query_image: Pixels | None
    cells: Sequence[Cell]


def contact_sheet(rows: Sequence[Row], *, thumb: int = 160, columns: int | None = None) -> bytes:
    """Draw a PNG with one row per query: the query on the left, then its results with their captions below.

    ``thumb`` is the side in pixels of the square that each picture is fitted into; nothing is enlarged or cropped. A
    row of more than ``columns`` pictures wraps. Text too long for its place ends in an ellipsis. Characters missing
    from Pillow's built-in font show as boxes. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    lines = [line for row in rows for line in _split_row(row, columns)]
    most = max(1, *(len(line.cells) for line, _ in lines))
    label = thumb + thumb // 4
    heights = [_row_height(line, label, thumb) for line, _ in lines]
    width = _MARGIN + label + _LABEL_GAP + most * (thumb + _GAP) - _GAP + _MARGIN
    height = sum(heights) + 2 * _MARGIN * len(rows) + _GAP * (len(lines) - len(rows))

    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    bottom = -_MARGIN
    for i, ((line, continued), line_height) in enumerate(zip(lines, heights, strict=True)):
        top = bottom + (_GAP if continued else 2 * _MARGIN)
        if i and not continued:
            draw.line((_MARGIN, top - _MARGIN, width - _MARGIN, top - _MARGIN), fill=_RULE)
        _draw_query(sheet, draw, line, (_MARGIN, top), label, thumb)
        left = _MARGIN + label + _LABEL_GAP
        if not line.cells:
            draw.text((left, top), "no results", fill=_GREY, font=_font(_CAPTION_SIZE))
        for cell in line.cells:
            if isinstance(cell.pixels, str):
                draw.rectangle((left, top, left + thumb - 1, top + thumb - 1), fill=_TILE)
                _draw_caption(draw, f"\n{cell.pixels}", (left + _GAP, top + thumb // 3), thumb - 2 * _GAP)
            else:
                _paste_tile(sheet, cell.pixels, (left, top), thumb)
            _draw_caption(draw, cell.caption, (left, top + thumb + _CAPTION_GAP), thumb)
            left += thumb + _GAP
        bottom = top + line_height

    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _split_row(row: Row, columns: int | None) -> list[tuple[Row, bool]]:
    """Split a row into lines of at most ``columns`` cells, the query on the first.

    Each line comes with whether it continues the row.
    """
    if columns is None or len(row.cells) <= columns:
        return [(row, False)]
    parts = [row.cells[start : start + columns] for start in range(0, len(row.cells), columns)]
    return [(replace(row, cells=parts[0]), False), *((Row("", None, part), True) for part in parts[1:])]


def _row_height(row: Row, label: int, thumb: int) -> int:
    if row.query_image is None and not row.cells:
        return len(_title_lines(row, label, thumb)) * _line_height(_TITLE_SIZE)
    captions = [cell.caption for cell in row.cells]
    if row.query_image is not None:
        captions.append(row.title)
    lines = max((len(caption.splitlines()) for caption in captions), default=0)
    return thumb + (_CAPTION_GAP + lines * _line_height(_CAPTION_SIZE) if lines else 0)


def _draw_query(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, at: tuple[int, int], label: int, thumb: int
) -> None:
    left, top = at
    if row.query_image is not None:
        _paste_tile(sheet, row.query_image, at, thumb)
        draw.rectangle((left, top, left + thumb - 1, top + thumb - 1), outline=_GREY)
        _draw_caption(draw, row.title, (left, top + thumb + _CAPTION_GAP), label)
        return
    for line in _title_lines(row, label, thumb):
        draw.text((left, top), line, fill=_INK, font=_font(_TITLE_SIZE))
        top += _line_height(_TITLE_SIZE)


def _title_lines(row: Row, label: int, thumb: int) -> list[str]:
    return _wrap(row.title, _font(_TITLE_SIZE), label, max(1, thumb // _line_height(_TITLE_SIZE)))


def _draw_caption(draw: ImageDraw.ImageDraw, caption: str, at: tuple[int, int], width: int) -> None:
    left, top = at
    font = _font(_CAPTION_SIZE)
    for i, line in enumerate(caption.splitlines()):
        draw.text((left, top), _shorten(_printable(line), font, width), fill=_GREY if i else _INK, font=font)
        top += _line_height(_CAPTION_SIZE)


def _paste_tile(sheet: Image.Image, pixels: Pixels, at: tuple[int, int], side: int) -> None:
    """Paste the picture into the centre of a light grey square, so that all of them line up."""
    left, top = at
    picture = fit(pixels, side)
    sheet.paste(_TILE, (left, top, left + side, top + side))
    sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))


def _wrap(text: str, font: _Font, width: int, most: int) -> list[str]:
    """Wrap ``text`` between words into at most ``most`` lines of ``width`` pixels, and cut off the rest."""
    lines: list[str] = []
    words = _printable(text).split()
    while words and len(lines) < most:
        count = 1
        while count < len(words) and font.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        if len(lines) == most - 1:
            count = len(words)
        lines.append(_shorten(" ".join(words[:count]), font, width))
        words = words[count:]
    return lines


def _shorten(text: str, font: _Font, width: int) -> str:
    """Return ``text`` if it fits into ``width`` pixels, otherwise the longest beginning that fits with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # bisect for the longest fitting prefix
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + _ELLIPSIS) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS


def _printable(text: str) -> str:
    """Remove control characters from ``text``; lone surrogates (undecodable names) become ``?``."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text)


def _line_height(size: int) -> int:
    return round(size * _LEADING)


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
