"""``imseek map``: lay out images on a plane, similar ones close together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from imseek.errors import UsageError
from imseek.maps.results import MapReport
from imseek.progress import Task
from imseek.types.json_form import Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import (
    ForceFilesOption,
    WhereOption,
    rare,
)
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import check_new, new_file
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    import pyarrow as pa

    from imseek.library import ResolvedCollection

#: Default number of thumbnails on a page, and their longer side in pixels.
_THUMBNAILS: Final = 2_000
_SIDE: Final = 112
FileKind: TypeAlias = Literal["html", "parquet"]


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """A map, and the files that it was written to."""

    report: Annotated[MapReport, Json(inline=True)]
    written: Mapping[FileKind, Path]
    """Files that were written, by kind."""


app = Group()


@app.command(
    "imseek map --html map.html",
    "imseek map --html map.html --colour folder --thumbnails 5000",
    "imseek map --method pca --name first",
    "imseek map --where 'year = 2023' --name y2023 --parquet y2023.parquet --columns camera,taken_at",
    "imseek search 'a boat' --where 'map_x > 3'",
    name="map",
)
def map_(
    run: Run,
    method: Annotated[
        Literal["umap", "pca"] | None,
        typer.Option("--method", help="umap (the default), or pca for a quick first look."),
    ] = None,
    name: Annotated[str, options.name("Store the map as the columns NAME_x and NAME_y.")] = "map",
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Lay out all images again, instead of placing new ones among the others."),
    ] = False,
    neighbours: Annotated[
        int | None, options.neighbours("umap: how many neighbours of each image to consider (default: 15).")
    ] = None,
    min_dist: Annotated[
        float | None,
        rare(
            "--min-dist",
            metavar="D",
            help="umap: the minimum distance between images, 0 to 1 (default: 0.1).",
        ),
    ] = None,
    seed: Annotated[
        int | None, options.seed("Random seed; the same seed gives the same map (default: 0).", min=None)
    ] = None,
    sample: Annotated[
        int,
        rare(
            "--sample",
            metavar="N",
            help="umap: above this number of images, lay out a sample of this size and place the others among it.",
        ),
    ] = 100_000,
    where: WhereOption = None,
    html: Annotated[Path | None, options.html("Write the map as one HTML page, with thumbnails and zoom.")] = None,
    colour: Annotated[
        str | None,
        typer.Option("--colour", metavar="COLUMN", help="With --html: colour the images by a column."),
    ] = None,
    thumbnails: Annotated[
        int | None,
        typer.Option(
            "--thumbnails",
            metavar="N",
            min=0,
            help=f"With --html: the maximum number of thumbnails, from all parts of the map (default: "
            f"{_THUMBNAILS:,}).",
        ),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write image_id, x, y, fitted and path as Parquet."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,…", help="With --parquet: also write these columns (docs/where.md)."),
    ] = None,
    force: ForceFilesOption = False,
) -> int:
    """Lay out images on a plane by their vectors. The map is stored, and new images can be placed on it later."""
    _check(html, colour, thumbnails, parquet, columns, force)
    run.interrupted = "interrupted: no files were written; the same command goes on from here"
    from imseek import maps

    extra_columns = [one.strip() for one in (columns or "").split(",") if one.strip()]
    if extra_columns or colour is not None:
        maps.check_columns(run.path, [*extra_columns, *([] if colour is None else [colour])])
    with run.work() as controls:
        report = maps.lay_out(
            run.path,
            method=method,
            name=name,
            refit=refit,
            neighbours=neighbours,
            min_dist=min_dist,
            seed=seed,
            where=where,
            sample=sample,
            **controls,
        )
        paths: dict[FileKind, Path] = {}
        if report.images > report.missing and not report.interrupted:
            if parquet is not None:
                _write_parquet(
                    parquet, maps.table(run.path, name, where=where, columns=["path", *extra_columns]), force
                )
                paths["parquet"] = parquet
            if html is not None:
                points = maps.table(
                    run.path, name, where=where, columns=["path", *([] if colour is None else [colour])]
                )
                most = _THUMBNAILS if thumbnails is None else thumbnails
                _write_page(html, run.target, report, points, colour, most, force, Task(**controls))
                paths["html"] = html
    run.finish(MapAnswer(report, paths), lambda: _lines(report), written=paths, interrupted=report.interrupted)
    if run.stop.is_set() and not report.interrupted and "html" in paths:
        say("interrupted: the page has only the thumbnails read so far")
    return run.exit_code(run.stop.is_set())


def _check(
    html: Path | None,
    colour: str | None,
    thumbnails: int | None,
    parquet: Path | None,
    columns: str | None,
    force: bool,
) -> None:
    """Check options and files before any work. Raises UsageError, and ImseekError for an unwritable file."""
    for value, option, target, file in (
        (colour, "--colour", html, "--html"),
        (thumbnails, "--thumbnails", html, "--html"),
        (columns, "--columns", parquet, "--parquet"),
    ):
        if value is not None and target is None:
            raise UsageError(f"{option} goes with {file}", hint=f"add {file} FILE")
    files = [path for path in (html, parquet) if path is not None]
    if len({path.absolute() for path in files}) < len(files):
        raise UsageError(f"{files[0]} is named twice")
    for path in files:
        check_new(path, force=force)


def _write_parquet(path: Path, table: pa.Table, force: bool) -> None:
    import pyarrow.parquet as pq

    with new_file(path, force=force) as file:
        pq.write_table(table, file.buffer, compression="zstd")


def _write_page(
    path: Path,
    target: ResolvedCollection,
    report: MapReport,
    table: pa.Table,
    colour: str | None,
    most: int,
    force: bool,
    task: Task,
) -> None:
    from imseek.maps import representative
    from imseek.overview import thumbnails
    from imseek.ui.render.map_page import MAX_POINTS, page

    title = f"Map of {target.name}"
    if len(table) > MAX_POINTS:
        title += f": {MAX_POINTS:,} of {len(table):,} images"
        table = table.take(sorted(representative(table, MAX_POINTS)))
    pictured = representative(table, most)
    ids = table.column("image_id").to_pylist()
    with (
        thumbnails(target.path, [ids[row] for row in pictured], _SIDE) as read_thumbnail,
        new_file(path, force=force) as file,
    ):
        count = 0

        def thumbnail(image_id: int) -> bytes | None:
            nonlocal count
            task.report("reading pictures", count, len(pictured))
            count += 1
            return None if task.is_cancelled else read_thumbnail(image_id)

        file.writelines(page(table, report.info, title=title, pictured=pictured, thumbnail=thumbnail, colour=colour))


def _lines(report: MapReport) -> list[str]:
    info = report.info
    method = f"{info.method.upper()} of {info.encoder}"
    if info.method == "umap":
        method += f", {info.neighbours} neighbours, min-dist {info.min_dist}, seed {info.seed}"
    out = [f"map {info.name!r} shows {format_count(report.images - report.missing, 'image')}: {method}"]
    if report.laid_out or report.placed:
        changes = [f"{report.laid_out:,} laid out"] if report.laid_out else []
        changes += [f"{report.placed:,} placed among the others"] if report.placed else []
        out.append(f"now: {', '.join(changes)} ({report.seconds:.1f} s)")
    else:
        out.append("nothing to place: what was laid out stays where it is")
    if info.trustworthiness is not None:
        out.append(
            f"trustworthiness {info.trustworthiness:.3f} "
            f"({info.trust_neighbours} neighbours among {format_count(info.trust_sample, 'image')})"
        )
    if report.missing:
        out.append(f"{format_count(report.missing, 'image')} not on the map")
    out += report.notes
    out.append(f"columns: {info.name}_x, {info.name}_y (as in --where '{info.name}_x > 3')")
    return [printable(line) for line in out]
