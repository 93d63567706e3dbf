"""Render a report as one self-contained HTML page, without scripts, with embedded thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from imseek.report.results import CollectionReport
from imseek.ui.render.page_frame import bar, card, escape_text, head
from imseek.ui.render.report_sections import Block, Histogram, Pictures, Section, Table, Text, facts, sections
from imseek.ui.render.thumbnail_data import EmbeddedThumbnails


def page(
    report: CollectionReport, title: str, said: str, read: Callable[[int], bytes | None]
) -> Iterator[str]:
    """Yield the page in pieces. ``said`` is the subtitle; ``read`` returns an image's WebP, or None."""
    pictures = EmbeddedThumbnails(pictures=600)
    yield head(title)
    yield f"<header><h1>{escape_text(title)}</h1>\n<p>{escape_text(said)}</p></header>\n<div class=facts>"
    for value, what in facts(report):
        yield f"<div><b>{escape_text(value)}</b><span>{escape_text(what)}</span></div>"
    yield "</div>\n<main>\n"
    for section in sections(report):
        yield from _section(section, pictures, read)
    yield "</main>\n</html>\n"


def picture_ids(report: CollectionReport) -> list[int]:
    """List the images whose pictures the page shows."""
    blocks = (block for section in sections(report) for block in section.blocks)
    return [one.image_id for block in blocks if isinstance(block, Pictures) for one in block.pictures]


def _section(
    section: Section, pictures: EmbeddedThumbnails, read: Callable[[int], bytes | None]
) -> Iterator[str]:
    yield f"<section><h2>{escape_text(section.title)}</h2>\n"
    beside = False
    for block in section.blocks:
        narrow = isinstance(block, Histogram) or (
            bool(block.title) and bool(block.shares)
            if isinstance(block, Table)
            else isinstance(block, Pictures) and block.narrow
        )
        if narrow != beside:
            yield "<div class=two>\n" if narrow else "</div>\n"
            beside = narrow
        yield from _block(block, pictures, read)
    yield ("</div>\n" if beside else "") + "</section>\n"


def _block(block: Block, pictures: EmbeddedThumbnails, read: Callable[[int], bytes | None]) -> Iterator[str]:
    match block:
        case Text():
            yield f"<p{' class=warn' if block.warning else ''}>{_mark_code(block.text)}</p>\n"
        case Table():
            yield _table(block)
        case Histogram():
            yield _histogram(block)
        case Pictures():
            yield f'<div>{_heading(block.title)}<div class="row">\n'
            for one in block.pictures:
                picture = pictures.tag(partial(read, one.image_id), f"image {one.image_id}")
                yield card(one.place, picture, escape_text(one.caption))
            yield "</div></div>\n"


def _table(block: Table) -> str:
    # File names and the like may break anywhere; the first text column stays whole.
    words = [n for n in range(len(block.head)) if n not in block.right]

    def cell(tag: str, n: int, text: str) -> str:
        kind = " class=n" if n in block.right else " class=t" if n in words[1:] or len(words) == 1 else ""
        return f"<{tag}{kind}>{_mark_code(text)}</{tag}>"

    top = "".join(cell("th", n, text) for n, text in enumerate(block.head))
    rows = []
    for number, row in enumerate(block.rows):
        cells = "".join(cell("td", n, text) for n, text in enumerate(row))
        if block.shares:
            cells += f"<td class=b>{bar(block.shares[number])}</td>"
        rows.append(f"<tr>{cells}</tr>\n")
    drawn = "<th></th>" if block.shares else ""
    return f"<div>{_heading(block.title)}<table><tr>{top}{drawn}</tr>\n{''.join(rows)}</table></div>\n"


def _histogram(block: Histogram) -> str:
    most = max(block.counts, default=0) or 1
    columns = "".join(
        f'<i style="height: {100 * n / most:.1f}%" title="{escape_text(name)}: {n:,}"></i>'
        for n, name in zip(block.counts, block.names, strict=True)
    )
    ends = "".join(f"<span>{escape_text(label)}</span>" for label in block.labels)
    return (
        f"<div>{_heading(block.title)}<div class=columns>{columns}</div><div class=ends>{ends}</div></div>\n"
    )


def _heading(text: str) -> str:
    return f"<h3>{escape_text(text)}</h3>\n" if text else ""


def _mark_code(text: str) -> str:
    """Mark up text between two backquotes as code."""
    parts = escape_text(text).split("`")
    if len(parts) % 2 == 0:
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
