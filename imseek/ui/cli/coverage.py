"""``imseek coverage``: show what one collection has that another lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imseek.dataset.results import CoverageReport, CoverageSide
from imseek.types.json_form import Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import ForceOption, JsonOption
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import check_new, new_file, say_written
from imseek.ui.cli.progress import stoppable
from imseek.ui.render.result_json import Answer, CollectionName, print_json
from imseek.ui.render.text import format_place
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection


@dataclass(frozen=True, slots=True)
class CoverageAnswer:
    """Differences between two collections, with their names."""

    report: Annotated[CoverageReport, Json(inline=True)]
    a: Answer[CoverageSide]
    """What the first has that the second lacks."""
    b: Answer[CoverageSide]
    """What the second has that the first lacks."""


app = Group()


@app.command(
    "imseek coverage train field",
    "imseek coverage train field --html coverage.html",
    "imseek coverage old new --where 'year >= 2020' -n 30",
)
def coverage(
    a: Annotated[str, typer.Argument(metavar="A", help="A collection, by name or path.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another collection with the same encoder.")],
    where: Annotated[
        str | None,
        options.where("Only images, of both collections, that match this condition (docs/where.md)."),
    ] = None,
    limit: Annotated[int, options.limit("How many groups to show for each direction.")] = 10,
    html: Annotated[Path | None, options.html("Write an HTML page with the pictures.")] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> int:
    """Show what A has and B lacks, and the other way round, by comparing vectors. Only --html opens pictures."""
    from imseek import dataset

    if html is not None:
        check_new(html, force=force)
    collections = [resolve_collection(name, metavar) for name, metavar in ((a, "A"), (b, "B"))]
    with stoppable() as controls:
        report = dataset.coverage(collections[0].path, collections[1].path, where=where, groups=limit, **controls)
    if html is not None:
        from imseek.ui.render.coverage_page import write

        with new_file(html, force=force) as file:
            write(file, report, collections)
    if as_json:
        first, second = map(CollectionName.of, collections)
        print_json(CoverageAnswer(report, Answer(first, report.a), Answer(second, report.b)))
    else:
        print("\n".join(lines(report, collections)))
        for note in report.notes:
            say(printable(note))
        if html is not None:
            say_written(html, "html")
    if report.interrupted:
        say("interrupted: not all images were compared")
    return controls["stop"].exit_code if report.interrupted else 0


def lines(report: CoverageReport, collections: list[ResolvedCollection]) -> list[str]:
    """Format a coverage report for the user."""
    names = [printable(one.name) for one in collections]
    out = [
        f"compared by {printable(report.encoder)}; "
        f"{report.expected:.0%} would be listed even if both had the same kinds of pictures"
    ]
    out += _side(report.a, *names)
    out += _side(report.b, *reversed(names))
    if report.mmd is not None:
        out.append(f"distance of the two (MMD × 1000): {report.mmd:.3f}; 0 where they are alike")
    return out


def _side(side: CoverageSide, mine: str, other: str) -> list[str]:
    count = "" if side.asked == side.images else f"{side.asked:,} were asked about, "
    out = [
        f"{mine} has {format_count(side.images, 'image')}, {count}of which {other} lacks "
        f"{side.lacking:,}, {side.share:.1%}"
    ]
    for number, group in enumerate(side.groups, start=1):
        out.append(f"{number:4}. {format_count(group.count, 'image')}")
        for image in group.images[:3]:
            cosine = image.values.get("cosine")
            near = "" if cosine is None else f"{cosine:.3f}  "
            place = format_place(image.place, image.image_id)
            out.append(f"      {near}id:{image.image_id}  {place}")
    return out
