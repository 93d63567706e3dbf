"""Render a report as one self-contained HTML page, without scripts, with embedded thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from imseek.report.results import CollectionReport
from imseek.ui.render.embedded_thumbnails import EmbeddedThumbnails
from imseek.ui.render.html_templates import render
from imseek.ui.render.report_sections import Block, Histogram, Pictures, Table, facts, sections


def page(
    report: CollectionReport, title: str, subtitle: str, thumbnail: Callable[[int], bytes | None]
) -> Iterator[str]:
    """Yield the page in pieces. ``thumbnail`` returns an image's WebP, or None."""
    return render(
        "report.html.j2",
        title=title,
        subtitle=subtitle,
        facts=facts(report),
        sections=[(one.title, _in_rows(one.blocks)) for one in sections(report)],
        column_kinds=_column_kinds,
        thumbnails=EmbeddedThumbnails(pictures=600),
        read=thumbnail,
    )


def picture_ids(report: CollectionReport) -> list[int]:
    """List the images whose pictures the page shows."""
    blocks = (block for section in sections(report) for block in section.blocks)
    return [one.image_id for block in blocks if isinstance(block, Pictures) for one in block.pictures]


def _in_rows(blocks: Sequence[Block]) -> list[tuple[bool, list[Block]]]:
    """Put narrow blocks that follow each other side by side."""
    return [(narrow, list(row)) for narrow, row in groupby(blocks, _is_narrow)]


def _is_narrow(block: Block) -> bool:
    """Return whether a block leaves room for another beside it."""
    match block:
        case Histogram():
            return True
        case Table():
            return bool(block.title) and bool(block.shares)
        case Pictures():
            return block.narrow
        case _:
            return False


def _column_kinds(table: Table) -> list[str]:
    """Return ``n`` for numbers, ``t`` for text that may break anywhere, such as file names, or an empty string."""
    words = [n for n in range(len(table.head)) if n not in table.right]
    # The first of several columns of text stays whole.
    return [
        "n" if n in table.right else "t" if n in words[1:] or len(words) == 1 else "" for n in range(len(table.head))
    ]
