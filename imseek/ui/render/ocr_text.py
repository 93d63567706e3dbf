"""Text for the terminal: reports of recognition, and the lines of text in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.ocr.results import OcrReport, TextLine, UnreadPicture
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable

_MAX_UNREAD: Final = 20


def ocr_lines(report: OcrReport) -> list[str]:
    """Format the report of a run that read texts."""
    if not report.missing:
        return [f"the text in all of {format_count(report.images, 'image')} has been read"]
    summary = f"read {report.read:,} of {format_count(report.missing, 'image')} ({report.seconds:.1f} s)"
    summary += f"; {report.with_text:,} {'has' if report.with_text == 1 else 'have'} text"
    if report.interrupted:
        summary = f"interrupted: {summary}; `imseek maintain --ocr` goes on from here"
    lines = [summary]
    if report.unreadable:
        lines.append(f"{format_count(report.unreadable, 'picture')} could not be read:")
        lines.append(table(("reason", "picture"), [_unread_row(one) for one in report.unread[:_MAX_UNREAD]]))
        if report.unreadable > _MAX_UNREAD:
            lines.append(f"and {report.unreadable - _MAX_UNREAD:,} more (--json lists the first thousand)")
    return lines


def earlier_recogniser_lines(report: OcrReport) -> list[str]:
    """Say that another recogniser has read pictures of this collection, if one has."""
    if not report.earlier_recognisers:
        return []
    names = " and by ".join(map(printable, report.earlier_recognisers))
    return [
        f"some pictures were read by {names}, and stay as they are; now {report.recogniser} reads",
        "`imseek maintain --no-ocr`, then `imseek maintain --ocr`, reads all of them again",
    ]


def text_line_table(lines: Sequence[TextLine]) -> str:
    """Format the lines of a picture, with their places in per cent of its size."""
    rows = [
        (f"{line.x:.0%}", f"{line.y:.0%}", f"{line.width:.0%}", f"{line.height:.0%}", f"{line.confidence:.2f}",
         printable(line.text)) for line in lines
    ]  # fmt: skip
    return table(("left", "top", "width", "height", "sure", "text"), rows, right=(0, 1, 2, 3, 4))


def _unread_row(picture: UnreadPicture) -> tuple[str, str]:
    place = f"image {picture.image_id}" if picture.place is None else picture.place.display
    return str(picture.reason), f"{place}: {printable(picture.message)}"
