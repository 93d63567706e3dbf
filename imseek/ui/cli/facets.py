"""``imseek facets``: list what filters can use, with numbers of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, WhereOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.search import Facet, FacetSummary, LocationCluster

#: Characters of a value in the table.
_VALUE: Final = 40


app = Group()


@app.command(
    "imseek facets", "imseek facets camera tag --where 'year = 2023'", "imseek facets location -n 50 --csv places.csv"
)
@with_groups(output=LIST_FLAGS)
def facets(
    columns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COLUMN]...", help="Columns, tag or location; default: all that have a value."),
    ] = None,
    limit: Annotated[int, options.limit("How many values of each to list.")] = 5,
    where: WhereOption = None,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """List the columns that --where can use, with their most frequent values or their bounds, and how many images have
    them; the most frequent tags; and where most images were taken."""
    run = Run.on(collection, as_json=output.as_json)
    from imseek import overview

    summary = overview.summarise_facets(run.path, columns or (), where=where, values=limit)
    output.write(("column", "value", "images", "where"), _rows(summary))
    return run.finish(summary, output.lines(lambda: _lines(summary, bool(columns))))


def _rows(summary: FacetSummary) -> Iterator[dict[str, Any]]:
    for one in summary.columns:
        yield from ({"column": one.column, "value": value, "images": n, "where": ""} for value, n in one.values)
    yield from ({"column": "tag", "value": tag, "images": n, "where": ""} for tag, n in summary.tags)
    for place in summary.locations:
        yield {"column": "location", "value": _place(place), "images": place.images, "where": place.where}


def _lines(summary: FacetSummary, has_columns: bool) -> list[str]:
    rows = [(one.column, f"{one.known:,}", _values(one)) for one in summary.columns]
    if summary.tags:
        rows.append(("tag", "", _list(summary.tags)))
    if summary.locations:
        rows.append(("location", "", ", ".join(f"{_place(one)} ({one.images:,})" for one in summary.locations)))
    out = [table(("column", "images", "values"), rows, right=(1,))] if rows else []
    out.append(format_count(summary.images, "image"))
    if has_columns and not rows:
        out.append("none of them has a value there")
    if has_columns and len(summary.locations) and not summary.columns:
        out += [f"{_place(one)}: --where {one.where!r}" for one in summary.locations]
    return out


def _values(one: Facet) -> str:
    """Return the most frequent values of a column, or its bounds."""
    if one.values:
        return _list(one.values)
    if one.low is None:
        return "" if one.distinct is None else f"{one.distinct:,} different ones"
    low, high = (f"{end:.6g}" if isinstance(end, float) else str(end) for end in (one.low, one.high))
    return f"{low} to {high}"


def _list(values: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{printable(shorten(str(value), _VALUE))} ({n:,})" for value, n in values)


def _place(one: LocationCluster) -> str:
    return f"{one.name} {one.latitude:.2f},{one.longitude:.2f}"
