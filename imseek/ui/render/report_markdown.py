"""Render a report as Markdown, with thumbnails as files in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from imseek.report.results import CollectionReport
from imseek.ui.render.report_sections import Block, Histogram, Pictures, Table, Text, facts, sections
from imseek.ui.render.words import printable

#: Characters that Markdown or HTML would interpret as markup.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def folder_of(path: Path) -> Path:
    """Return the folder for a report's thumbnails."""
    return path.with_name(f"{path.stem}_pictures")


def pages(
    report: CollectionReport, title: str, summary: str, folder: Path, thumbnail: Callable[[int], bytes | None]
) -> Iterator[str]:
    """Yield the report in pieces, and write thumbnails to ``folder``: ``thumbnail`` returns an image's WebP or None."""
    yield f"# {_escape_markdown(title)}\n\n{_escape_markdown(summary)}\n\n"
    yield (
        " · ".join(f"**{_escape_markdown(value)}** {_escape_markdown(label)}" for value, label in facts(report)) + "\n"
    )
    for section in sections(report):
        yield f"\n## {_escape_markdown(section.title)}\n"
        for block in section.blocks:
            yield "\n" + _block(block, folder, thumbnail)


def _block(block: Block, folder: Path, thumbnail: Callable[[int], bytes | None]) -> str:
    match block:
        case Text():
            return _escape_markdown(block.text, code=True) + "\n"
        case Table():
            return _heading(block.title) + _table(block)
        case Histogram():
            rows = [(f"{n:,}", name) for n, name in zip(block.counts, block.names, strict=True) if n]
            return _heading(block.title) + _table(Table("", ("images", ""), rows, (0,)))
        case Pictures():
            items = []
            for one in block.pictures:
                name = f"image {one.image_id}" if one.place is None else one.place.display.rsplit("/", 1)[-1]
                label = _escape_markdown(f"{name} ({one.caption})" if one.caption else name)
                items.append(f"{_picture(one.image_id, folder, thumbnail)}{label}")
            return _heading(block.title) + "\n".join(f"- {one}" for one in items) + "\n"


def _picture(image_id: int, folder: Path, thumbnail: Callable[[int], bytes | None]) -> str:
    path = folder / f"{image_id}.webp"
    if not path.exists():
        if (data := thumbnail(image_id)) is None:
            return ""
        folder.mkdir(exist_ok=True)
        path.write_bytes(data)
    return f"![image {image_id}]({quote(folder.name)}/{path.name}) "


def _table(block: Table) -> str:
    if not block.rows:
        return ""
    lines = [
        "| " + " | ".join(_escape_markdown(text) for text in block.head) + " |",
        "|" + "|".join("---:" if n in block.right else "---" for n in range(len(block.head))) + "|",
    ]
    lines += ["| " + " | ".join(_escape_markdown(text, code=True) for text in row) + " |" for row in block.rows]
    return "\n".join(lines) + "\n"


def _heading(text: str) -> str:
    return f"### {_escape_markdown(text)}\n\n" if text else ""


def _escape_markdown(text: str, code: bool = False) -> str:
    """Escape untrusted text; with ``code``, text in backquotes stays code."""
    line = printable(text)
    parts = line.split("`")
    if code and len(parts) % 2:
        return "".join(f"`{part}`" if n % 2 else _SPECIAL.sub(r"\\\1", part) for n, part in enumerate(parts))
    return _SPECIAL.sub(r"\\\1", line)
