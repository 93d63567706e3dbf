"""``imseek report``: write a one-page report on a collection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from imseek.errors import ImseekError, UsageError
from imseek.types.json_form import Count
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.output_files import check_new, new_file, stream_of
from imseek.ui.cli.progress import thumbnail_progress
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from collections.abc import Collection

    from imseek.library import ResolvedCollection
    from imseek.report import Part
    from imseek.report.results import CollectionReport

_MARKDOWN = (".md", ".markdown")
_HTML = (".html", ".htm")
#: Longer side of thumbnails, in pixels.
_THUMBNAIL_SIDE = 224


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written."""

    written: Path
    """The file."""
    images: Count
    """Number of images in the collection."""
    generation: Count
    """The generation that was read."""
    notes: tuple[str, ...]
    interrupted: bool


app = Group()


@app.command(
    "imseek report report.html",
    "imseek report report.md --skip duplicates",
    "imseek report /dev/stdout --skip clusters --skip outliers > report.html",
)
def report(
    run: Run,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="FILE.html for one HTML page; FILE.md for Markdown, with thumbnails in FILE_pictures/ beside it.",
        ),
    ],
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip",
            metavar="PART",
            help="Leave out a part: quality, clusters, outliers or duplicates; may be repeated.",
        ),
    ] = None,
    looks: Annotated[
        int, options.looks("For duplicates: compare the pixels of at most this many candidate pairs.")
    ] = 1000,
    force: Annotated[bool, options.force("Overwrite an existing report.")] = False,
) -> int:
    """Write a report on a collection: contents, quality, clusters, duplicates, files left out."""
    from imseek.report import gather

    check_new(file, force=force)
    markdown = _is_markdown(file)
    if markdown:
        _check_folder(file, force=force)
    run.interrupted = "interrupted: parts are missing"
    with run.work() as controls:
        summary = gather(
            run.path,
            skip=cast("Collection[Part]", skip or ()),
            looks=looks,
            **controls,
        )
    _write(file, summary, run.target, markdown=markdown, force=force)
    answer = WrittenReport(
        file.absolute(), summary.contents.images, summary.info.generation, summary.notes, summary.interrupted
    )
    notes = [*map(printable, summary.notes), f"wrote {printable(str(file))}"]
    return run.finish(answer, lambda: [], notes=notes, interrupted=summary.interrupted)


def _is_markdown(file: Path) -> bool:
    """Decide the format by the file extension. Raises UsageError."""
    ending = file.suffix.lower()
    if stream_of(file) is not None or ending in _HTML:
        return False
    if ending in _MARKDOWN:
        return True
    raise UsageError(f"{file} is neither HTML nor Markdown", hint="name a file that ends in .html or .md")


def _check_folder(file: Path, *, force: bool) -> None:
    from imseek.ui.render.report_markdown import folder_of

    folder = folder_of(file)
    if os.path.lexists(folder) and not force:
        raise UsageError(f"{folder} is there already", hint="choose another name, or add --force")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is not a folder", hint="choose another name")


def _write(file: Path, summary: CollectionReport, target: ResolvedCollection, *, markdown: bool, force: bool) -> None:
    from imseek.overview import thumbnails
    from imseek.ui.render.report_markdown import folder_of, pages
    from imseek.ui.render.report_page import page, picture_ids

    title = f"Collection {target.name}"
    today = datetime.now().astimezone().date().isoformat()
    subtitle = f"{summary.info.path}, generation {summary.info.generation}, {summary.info.encoder.encoder}; {today}"
    ids = picture_ids(summary)
    with (
        thumbnails(target.path, ids, _THUMBNAIL_SIDE) as make,
        thumbnail_progress(make, len(set(ids))) as thumbnail,
        new_file(file, force=force) as out,
    ):
        if not markdown:
            out.writelines(page(summary, title, subtitle, thumbnail))
            return
        folder = folder_of(file)
        try:
            _remove_thumbnails(folder)
            out.writelines(pages(summary, title, subtitle, folder, thumbnail))
        except OSError as error:
            raise ImseekError(f"cannot write {folder}: {error.strerror or error}") from error


def _remove_thumbnails(folder: Path) -> None:
    """Delete the thumbnails of an earlier report, and nothing else."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix == ".webp" and path.stem.isdecimal() and path.is_file():
            path.unlink()
