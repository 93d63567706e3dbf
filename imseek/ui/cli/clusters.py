"""``imseek clusters``: cluster similar images, and name each cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO, TypeAlias

import typer

from imseek.clusters.results import AssignReport, Cluster, ClusterReport
from imseek.errors import UsageError
from imseek.types.json_form import Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import WhereOption
from imseek.ui.cli.output_files import IMAGE_COLUMNS, check_csv, check_new, new_file, write_rows
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

_FACTS: Final = ("name", "size", "cohesion", "separation", "neighbour", "contrast")
_COLUMNS: Final = ("cluster", *_FACTS, *IMAGE_COLUMNS)
FileKind: TypeAlias = Literal["csv", "html"]


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """Clusters, and the files that they were written to."""

    report: Annotated[ClusterReport, Json(inline=True)]
    written: Mapping[FileKind, Path]
    """Files that were written, by kind."""


app = Group()


@app.command(
    "imseek clusters",
    "imseek clusters -k 20 --html clusters.html",
    "imseek clusters --density --names words.txt --save kinds",
    "imseek search 'a boat' --where 'kinds = 3'",
    "imseek clusters --again kinds",
)
def clusters(
    run: Run,
    k: Annotated[
        int | None,
        typer.Option("--k", "-k", metavar="N", help="Number of clusters (default: the most stable number)."),
    ] = None,
    density: Annotated[
        bool, typer.Option("--density", help="Find dense groups; images between them belong to none.")
    ] = False,
    smallest: Annotated[
        int | None,
        typer.Option("--smallest", metavar="N", help="With --density: the minimum number of images in a group."),
    ] = None,
    where: WhereOption = None,
    names: Annotated[
        str,
        typer.Option(
            "--names",
            metavar="FILE|imagenet|none",
            help="Words to name the clusters by: a file with one per line, ImageNet's classes, or none.",
        ),
    ] = "imagenet",
    save: Annotated[
        str | None, options.save("Store the clusters as the columns NAME, NAME_name and NAME_score.")
    ] = None,
    again: Annotated[str | None, options.again("Assign images added since to the clusters stored as NAME.")] = None,
    limit: Annotated[int, options.limit("How many clusters to show.")] = 50,
    seed: Annotated[int, options.seed("Random seed; another seed gives other clusters.")] = 0,
    csv: Annotated[Path | None, options.csv("Write all clusters as CSV, one cluster per row.")] = None,
    html: Annotated[Path | None, options.html("Write an HTML page with pictures of each cluster.")] = None,
    force: Annotated[bool, options.force("Overwrite files and stored clusters of these names.")] = False,
) -> int:
    """Group similar images, and name the groups in words. Nothing is stored without --save."""
    if again is not None:
        others = (k, smallest, where, save, csv, html)
        if density or names != "imagenet" or any(value is not None for value in others):
            raise UsageError("--again uses the clusters as they were stored", hint="leave out the other options")
    check_csv(csv, force=force, rivals={"--json": run.as_json})
    if html is not None:
        check_new(html, force=force)
    if csv is not None and html is not None and csv.absolute() == html.absolute():
        raise UsageError(f"{csv} is named twice")
    from imseek import clusters as finding

    if again is not None:
        with run.work() as controls:
            assigned = finding.again(run.path, again, **controls)
        return run.finish(assigned, lambda: [_assigned_line(assigned)])
    with run.work() as controls:
        report = finding.find(
            run.path,
            k=k,
            density=density,
            smallest=smallest,
            where=where,
            names=names if names in ("imagenet", "none") else Path(names),
            save=save,
            replace=force,
            seed=seed,
            **controls,
        )
    paths = _write(report, run.target, csv, html, force=force)
    answer = ClusterAnswer(report, {kind: path.absolute() for kind, path in paths.items()})
    stored = f'stored as {report.saved}: imseek search … --where "{report.saved} = 1"'
    return run.finish(
        answer,
        lambda: _lines(report, limit),
        written=paths,
        notes=[] if report.saved is None else [stored],
        uuid=report.collection,
    )


def _assigned_line(report: AssignReport) -> str:
    outside = report.added.get(0, 0)
    assigned = f"{format_count(sum(report.added.values()), 'image')} assigned to the clusters {report.name!r}"
    return assigned + (f", {outside:,} of them to none" if outside else "")


def _write(
    report: ClusterReport, target: ResolvedCollection, csv: Path | None, html: Path | None, *, force: bool
) -> dict[FileKind, Path]:
    paths: dict[FileKind, Path] = {}
    if csv is not None:
        with new_file(csv, force=force) as file:
            write_csv(report, file)
        paths["csv"] = csv
    if html is not None:
        from imseek.overview import thumbnails
        from imseek.ui.render.clusters_page import page

        every = [*report.clusters, *([] if report.noise is None else [report.noise])]
        ids = [image.image_id for cluster in every for image in cluster.medoids]
        with thumbnails(target.path, ids) as thumbnail, new_file(html, force=force) as file:
            file.writelines(page(report, thumbnail, title=f"Clusters in {target.name}"))
        paths["html"] = html
    return paths


def write_csv(report: ClusterReport, file: TextIO) -> None:
    """Write one row per cluster, with its most central image; images in no cluster are cluster 0."""
    every = [*report.clusters, *([] if report.noise is None else [report.noise])]
    rows = ({"cluster": one.number, **to_json(one.medoids[0]), **to_json(one)} for one in every)
    write_rows(_COLUMNS, rows, file)


def _lines(report: ClusterReport, limit: int) -> list[str]:
    from imseek.ui.render.clusters_page import COLUMNS_NOTE, totals

    rows = [*report.clusters[:limit], *([] if report.noise is None or not limit else [report.noise])]
    out = []
    if rows:
        head = ("", "images", "cohesion", "apart", "next", "name", "id", "most central image")
        out.append(table(head, [_row(cluster) for cluster in rows], right=(0, 1, 2, 3, 4, 6)))
    out.append(printable(totals(report)))
    if rows:
        out.append(COLUMNS_NOTE)
    if more := len(report.clusters) - len(report.clusters[:limit]):
        out.append(f"{format_count(more, 'more cluster')} (-n shows more, --html, --csv and --json have all)")
    return out + [printable(note) for note in report.notes]


def _row(cluster: Cluster) -> tuple[str, ...]:
    from imseek.ui.render.clusters_page import heading

    return (
        str(cluster.number or "–"),
        f"{cluster.size:,}",
        "" if cluster.cohesion is None else f"{cluster.cohesion:.2f}",
        "" if cluster.separation is None else f"{cluster.separation:.2f}",
        "" if cluster.neighbour is None else str(cluster.neighbour),
        printable(heading(cluster)),
        "" if cluster.number == 0 else str(cluster.medoids[0].image_id),
        "" if cluster.number == 0 else format_place(cluster.medoids[0].place, cluster.medoids[0].image_id),
    )
