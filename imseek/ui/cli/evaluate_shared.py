"""Options and formatting shared by the commands of ``imseek evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from imseek.ui.render.text import format_interval, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.captions.results import UnusedCaptions
    from imseek.evaluate.results import RetrievalMetrics

CaptionsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="A table (.csv, .jsonl, .parquet) with the columns path or image_id, and caption (default: "
        "the collection's captions).",
    ),
]
CaptionColumnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--caption-column",
        metavar="NAME",
        help="The column that holds the captions, if imseek does not recognise its name.",
    ),
]
KOption: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--k", metavar="K", help="A K for R@K; may be repeated (default: 1, 5 and 10)."),
]
#: Unknown images named in a message.
_MAX_NAMES: Final = 5


def parse_space(text: str | None) -> int | str | None:
    """Parse a space as typed: its id, or its encoder's reference."""
    # too long for an id; reported as an unknown reference
    return int(text) if text is not None and text.isdecimal() and len(text) <= 18 else text


def retrieval_table(rows: Sequence[tuple[str, RetrievalMetrics]]) -> str:
    """Format named results as a table, one row each."""
    ks = sorted({k for _, one in rows for k in one.recall})
    head = ("", *(f"R@{k}" for k in ks), "median rank", "mean rank", "mAP")
    return table(head, [_row(name, one, ks) for name, one in rows])


def left_out_lines(left_out: UnusedCaptions) -> list[str]:
    lines = []
    if left_out.unknown:
        names = ", ".join(printable(name) for name in left_out.names[:_MAX_NAMES])
        more = ", …" if left_out.unknown > _MAX_NAMES else ""
        rows = format_count(left_out.unknown, "row")
        lines.append(f"left out, naming no image that counts: {rows} ({names}{more})")
    if left_out.empty:
        lines.append(f"left out, without a caption: {format_count(left_out.empty, 'row')}")
    if left_out.unreferenced:
        lines.append(f"left out, without a reference: {format_count(left_out.unreferenced, 'caption')}")
    return lines


def _row(name: str, one: RetrievalMetrics, ks: Sequence[int]) -> tuple[str, ...]:
    cells = [format_interval(one.recall[k]) if k in one.recall else "" for k in ks]
    return (
        name,
        *cells,
        format_interval(one.median_rank, ".4g"),
        format_interval(one.mean_rank, ".1f"),
        format_interval(one.mean_average_precision),
    )
