"""``imseek outliers``: list images unlike any others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import IdsOption, WhereOption
from imseek.ui.cli.output import print_ids
from imseek.ui.cli.output_files import IMAGE_COLUMNS, check_csv, new_file, write_rows
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.clusters.results import OutlierReport

_COLUMNS: Final = ("score", "copies", *IMAGE_COLUMNS)


app = Group()


@app.command(
    "imseek outliers",
    "imseek outliers -n 100 --method lof --csv odd.csv",
    "imseek outliers --save odd && imseek search 'a boat' --where 'odd > 0.5'",
)
def outliers(
    run: Run,
    limit: Annotated[int, options.limit("How many images to show.")] = 20,
    method: Annotated[
        Literal["knn", "lof", "isolation"],
        typer.Option(
            "--method",
            help="knn: distance to the nearest neighbours; lof: the same relative to the density "
            "around them; isolation: how few random cuts separate an image from the rest.",
        ),
    ] = "knn",
    neighbours: Annotated[int, options.neighbours("Number of nearest neighbours to compare with.")] = 10,
    where: WhereOption = None,
    save: Annotated[str | None, options.save("Store each image's score as a column.")] = None,
    seed: Annotated[int, options.seed("Of what is random.")] = 0,
    ids: IdsOption = False,
    csv: Annotated[Path | None, options.csv("Write the images as CSV.")] = None,
    force: Annotated[bool, options.force("Overwrite a file and stored scores of these names.")] = False,
) -> int:
    """List the images that are unlike all others, the strangest first. Copies count as one image."""
    if ids and run.as_json:
        raise UsageError("choose one of --ids and --json")
    check_csv(csv, force=force, rivals={"--json": run.as_json, "--ids": ids})
    from imseek import clusters

    with run.work() as controls:
        report = clusters.outliers(
            run.path,
            limit=limit,
            method=method,
            neighbours=neighbours,
            where=where,
            save=save,
            replace=force,
            seed=seed,
            **controls,
        )
    if csv is not None:
        with new_file(csv, force=force) as file:
            write_csv(report, file)
    if ids:
        print_ids(one.image.image_id for one in report.with_copies)
        return 0
    stored = f'stored as {report.saved}: imseek search … --where "{report.saved} > …"'
    return run.finish(
        report,
        lambda: _lines(report),
        written={"csv": csv},
        notes=[] if report.saved is None else [stored],
        uuid=report.collection,
    )


def write_csv(report: OutlierReport, file: TextIO) -> None:
    """Write one row per outlier."""
    write_rows(_COLUMNS, map(to_json, report.with_copies), file)


def _lines(report: OutlierReport) -> list[str]:
    out = []
    if report.outliers:
        rows = [
            (
                f"{one.image.score:.3f}",
                str(one.copies or ""),
                str(one.image.image_id),
                format_place(one.image.place, one.image.image_id),
            )
            for one in report.with_copies
        ]
        out.append(table(("score", "copies", "id", "image"), rows, right=(0, 1, 2)))
    measure = {
        "knn": f"mean distance to the {report.neighbours} nearest others",
        "lof": f"local outlier factor over {report.neighbours} neighbours",
        "isolation": "isolation forest",
    }[report.method]
    typical = "" if report.typical is None else f"; typical {report.typical:.3f}"
    out.append(f"{format_count(report.images, 'image')}, {report.contents:,} that differ: {measure}{typical}")
    return out + [printable(note) for note in report.notes]
