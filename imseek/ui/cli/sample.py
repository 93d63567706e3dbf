"""``imseek sample``: choose a few representative images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import ForceOption, IdsOption, WhereOption
from imseek.ui.cli.output import print_ids, say
from imseek.ui.cli.output_files import IMAGE_COLUMNS, check_csv, new_file, write_rows
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import SAMPLE_METHODS, format_count, printable

if TYPE_CHECKING:
    from imseek.clusters.results import SampleReport

_COLUMNS: Final = ("weight", "score", *IMAGE_COLUMNS)


app = Group()


@app.command(
    "imseek sample --diverse 20",
    "imseek sample --diverse 100 --method k-centre --csv sample.csv",
    "imseek sample --random 100 --seed 7 --where \"format = 'JPEG'\" --paths",
)
def sample(
    run: Run,
    diverse: Annotated[
        int | None,
        typer.Option("--diverse", metavar="N", help="Choose this many images that differ from each other."),
    ] = None,
    random: Annotated[
        int | None, typer.Option("--random", metavar="N", help="Choose this many images at random.")
    ] = None,
    method: Annotated[
        Literal["k-centre", "facility"] | None,
        typer.Option(
            "--method",
            help="With --diverse. facility (the default): close to all images on average; k-centre: "
            "no image is far from the sample, so odd ones are included.",
        ),
    ] = None,
    where: WhereOption = None,
    seed: Annotated[int, options.seed("Random seed; another seed gives other images.")] = 0,
    paths: Annotated[bool, typer.Option("--paths", help="Print only the paths, one per line.")] = False,
    ids: IdsOption = False,
    csv: Annotated[Path | None, options.csv("Write the images as CSV.")] = None,
    force: ForceOption = False,
) -> int:
    """Choose a few images that represent all, and measure how well they do. Copies count as one image."""
    if (diverse is None) == (random is None):
        raise UsageError("choose one of --diverse N and --random N", hint="imseek sample --diverse 20")
    if random is not None and method is not None:
        raise UsageError("--method goes with --diverse")
    if [paths, ids, run.as_json].count(True) > 1:
        raise UsageError("choose one of --paths, --ids and --json")
    check_csv(csv, force=force, rivals={"--json": run.as_json, "--paths": paths, "--ids": ids})
    run.interrupted = "interrupted"
    from imseek import clusters

    with run.work() as controls:
        report = clusters.sample(
            run.path,
            diverse if diverse is not None else random or 0,
            method="random" if diverse is None else method or "facility",
            where=where,
            seed=seed,
            **controls,
        )
    if csv is not None:
        with new_file(csv, force=force) as file:
            write_csv(report, file)
    if paths:
        _print_paths(report)
        return 0
    if ids:
        print_ids(image.image_id for image in report.chosen)
        return 0
    return run.finish(report, lambda: _lines(report), written={"csv": csv}, uuid=report.collection)


def _print_paths(report: SampleReport) -> None:
    """Print paths as raw bytes, so that other programs can open the files."""
    paths = [image.place.path for image in report.chosen if image.place is not None]
    sys.stdout.flush()
    sys.stdout.buffer.write(b"".join(path + b"\n" for path in paths))
    sys.stdout.buffer.flush()
    if missing := len(report.chosen) - len(paths):
        say(f"{format_count(missing, 'image')} left out because their files are unknown")


def write_csv(report: SampleReport, file: TextIO) -> None:
    """Write one row per image of the sample."""
    write_rows(_COLUMNS, map(to_json, report.sample), file)


def _lines(report: SampleReport) -> list[str]:
    out = []
    if report.chosen:
        rows = [
            (
                f"{one.weight:,}",
                f"{one.image.score:.3f}",
                str(one.image.image_id),
                format_place(one.image.place, one.image.image_id),
            )
            for one in report.sample
        ]
        out.append(table(("stands for", "distance", "id", "image"), rows, right=(0, 1, 2)))
    line = f"{format_count(len(report.chosen), 'image')} of {report.images:,}, chosen {SAMPLE_METHODS[report.method]}"
    if report.farthest is not None and report.mean is not None:
        line += f"; distance to the nearest of them: mean {report.mean:.3f}, at most {report.farthest:.3f}"
    return [*out, line, *(printable(note) for note in report.notes)]
