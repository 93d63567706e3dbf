"""``imseek tag``: add, remove, rename and list tags."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.errors import MediaError, UsageError
from imseek.input_file import open_input
from imseek.types.json_form import Count
from imseek.types.pictures import display_path
from imseek.types.tags import Tag, TagCount, TagReport
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.image_arguments import parse_id, parse_images
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import count_givers, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.sidecars import SidecarReport
    from imseek.tags import AnyImage

app = Group("Add, remove, rename and list the tags of images.", "imseek tag add boat 17 harbour.jpg", "imseek tag list")

#: Unknown images named in a message.
_MAX_MISSING: Final = 10
#: Accepted names of a table's image column.
_IDS: Final = ("image_id", "id")
_PATHS: Final = ("path", "file", "uri")


@dataclass(frozen=True, slots=True)
class ImageTags:
    """The tags of an image."""

    image_id: Count
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class TagList:
    """All tags, or those of the images that were named."""

    tags: tuple[TagCount, ...]
    """All tags, where no images were named."""
    images: tuple[ImageTags, ...]
    """The images that were named."""


TagArgument = Annotated[str, typer.Argument(metavar="TAG", help="The tag, one word or more.")]
ImagesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Ids (17, id:17) or files; - reads them from stdin, one per line."),
]
WhereOption = Annotated[str | None, options.where("All images that match this condition (docs/where.md).")]


@app.command(
    "imseek tag add boat 17 id:23 harbour.jpg",
    "imseek tag add beach --where \"path LIKE '%/beach/%'\"",
    "imseek search 'a boat' --json | jq '.hits[].image_id' | imseek tag add boat -",
    "imseek tag add --from labels.csv",
)
def add(
    run: Run,
    tag: Annotated[
        str | None,
        typer.Argument(metavar="[TAG]", help="The tag, one word or more; leave it out with --from."),
    ] = None,
    images: ImagesArgument = None,
    where: WhereOption = None,
    table_file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read tags from a table (CSV, TSV, JSON Lines, Parquet) with the columns tag, and image_id or path.",
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who adds the tag, for the record.")] = "person",
) -> int:
    """Add a tag to images. If a command added it before, it counts as added by a person from then on."""
    from imseek import tags

    if table_file is not None and (tag is not None or images or where is not None):
        raise UsageError("--from reads both tags and images from the table", hint="imseek tag add --from FILE")
    if table_file is None and tag is None:
        raise UsageError("no tag is named", hint="imseek tag add TAG IMAGE…, or --from FILE")
    if table_file is None and not images and where is None:
        raise UsageError("no images are given", hint="name ids or files, use - for stdin, or --where")
    table_tags = None if table_file is None else list(_read_table(table_file))
    references = parse_images(images or ())
    if table_tags is not None:
        report = tags.add_all(run.path, table_tags, provenance=by)
    else:
        assert tag is not None
        report = tags.add(run.path, tag, references, where=where, provenance=by)
    return _print_report(run, report, "tagged", "had it already")


@app.command("imseek tag remove boat 17", "imseek tag remove boat --all")
def remove(
    run: Run,
    tag: TagArgument,
    images: ImagesArgument = None,
    where: WhereOption = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Remove it from all images.")] = False,
) -> int:
    """Remove a tag from images, whoever added it."""
    from imseek import tags

    has_selection = bool(images) or where is not None
    if has_selection == everywhere:
        raise UsageError(
            "choose the images to remove the tag from"
            if not has_selection
            else "--all goes without images and --where",
            hint="ids, files, - for stdin, --where, or --all",
        )
    references = parse_images(images or ())
    report = tags.remove(run.path, tag, references, where=where, everywhere=everywhere)
    return _print_report(run, report, "untagged", "did not have it")


@app.command("imseek tag rename baot boat")
def rename(
    run: Run,
    tag: TagArgument,
    to: Annotated[str, typer.Argument(metavar="NEW", help="The new name of the tag.")],
) -> int:
    """Rename a tag on all images that have it. If the new name exists already, the two tags are merged."""
    from imseek import tags

    return _print_report(run, tags.rename(run.path, tag, to), "renamed the tag of", "had it already")


@app.command("imseek tag list", "imseek tag list 17 harbour.jpg", "imseek tag list --csv tags.csv", name="list")
@with_groups(output=LIST_FLAGS)
def list_(images: ImagesArgument = None, collection: CollectionOption = None, *, output: ListFlags) -> int:
    """List all tags with how many images have them, or the tags of some images."""
    from imseek import tags

    references = parse_images(images or ())
    run = Run.on(collection, as_json=output.as_json)
    if images:
        tags_by_image = tags.of(run.path, references)
        csv_rows = (
            {"image_id": i, "tag": one.tag, "given_by": one.provenance}
            for i, have in tags_by_image.items()
            for one in have
        )
        output.write(("image_id", "tag", "given_by"), csv_rows)
        images_tags = tuple(ImageTags(image_id, tuple(have)) for image_id, have in tags_by_image.items())
        image_rows = [
            (str(image_id), printable(", ".join(f"{one.tag} ({one.provenance})" for one in have) or "(none)"))
            for image_id, have in tags_by_image.items()
        ]
        return run.finish(
            TagList((), images_tags), output.lines(lambda: [table(("id", "tags"), image_rows, right=(0,))])
        )
    counts = tags.counts(run.path)
    output.write(("tag", "images", "given_by"), ({**to_json(one), "given_by": _givers(one)} for one in counts))
    rows = [(f"{one.images:,}", printable(one.tag), printable(_givers(one))) for one in counts]
    lines = [table(("images", "tag", "given by"), rows, right=(0,))] if counts else []
    notes = [] if counts else ["no image has a tag yet: `imseek tag add TAG IMAGE…`"]
    return run.finish(TagList(counts, ()), output.lines(lambda: lines), notes=notes)


def _givers(count: TagCount) -> str:
    return ", ".join(f"{giver} {n:,}" for giver, n in count_givers(count.by))


@app.command(
    "imseek tag write-sidecars",
    "imseek tag write-sidecars --apply",
    "imseek tag write-sidecars --undo 20261129-101500-a1b2c3",
)
def write_sidecars(
    run: Run,
    where: WhereOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the files; else only say what would be.")] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ID", help="Put back the files of an earlier --apply.")
    ] = None,
) -> int:
    """Write tags, captions and ratings into .xmp files beside the pictures, for other programs.

    Tags that people gave are written as keywords, captions and ratings if they were edited in imseek. Everything else
    in an existing file stays, and pictures are not written to.
    """
    from imseek import sidecars

    if undo is not None and (apply or where is not None):
        raise UsageError("--undo puts back all files of an earlier run", hint="imseek tag write-sidecars --undo ID")
    if undo is not None:
        undone = sidecars.undo(run.path, undo)
        left = [f"left: it was changed since, or cannot be written: {display_path(one)}" for one in undone.left]
        line = f"put back {format_count(undone.restored, 'sidecar')}, removed {undone.removed:,}"
        return run.finish(undone, lambda: [line], notes=left[:_MAX_MISSING]) or int(bool(undone.left))
    report = sidecars.write(run.path, where=where, apply=apply)
    return run.finish(report, lambda: _sidecar_lines(report))


_REFUSALS: Final = {
    "url": "on the web",
    "archive": "in archives or tables",
    "missing": "not where they were",
    "read_only": "in folders or beside files that cannot be written to",
    "unreadable": "beside files that are no XMP, links, or too large",
    "changed": "beside files that were changed just now",
}


def _sidecar_lines(report: SidecarReport) -> list[str]:
    if not report.images:
        return ["no image has a tag, a caption or a rating that a person gave in imseek"]
    verb = "wrote" if report.applied else "would write"
    lines = [
        f"{verb} tags, captions and ratings of {format_count(report.images, 'image')} into "
        f"{format_count(report.edited, 'sidecar')}, "
        f"{report.created:,} of them new; {report.unchanged:,} have them already"
    ]
    lines += [f"{format_count(n, 'picture')} left out: {_REFUSALS[why]}" for why, n in report.refused.items()]
    if report.undo_id is not None:
        lines.append(f"undo: imseek tag write-sidecars --undo {report.undo_id}")
    elif report.edited:
        lines.append("nothing was written; --apply does it")
    return lines


def _print_report(run: Run, report: TagReport, verb: str, unchanged_note: str) -> int:
    line = f"{verb} {format_count(report.changed, 'image')}"
    line += f"; {report.unchanged:,} {unchanged_note}" if report.unchanged else ""
    notes = [f"not in the collection: {printable(one)}" for one in report.missing[:_MAX_MISSING]]
    if len(report.missing) > _MAX_MISSING:
        notes.append(f"and {len(report.missing) - _MAX_MISSING:,} more that are not")
    return run.finish(report, lambda: [line], notes=notes)


def _read_table(path: Path) -> Iterator[tuple[AnyImage, str]]:
    """Yield the images and tags of a table. Raises UsageError with the row."""
    from imseek.indexer import MalformedRow, open_sheet

    try:
        with open_sheet(os.fsencode(path), open_input(path)) as sheet:
            names = [column.name for column in sheet.columns]
            column = next((name for name in (*_IDS, *_PATHS) if name in names), None)
            if column is None or "tag" not in names:
                raise UsageError(
                    f"{path} has no column tag, or none of image_id and path",
                    hint=f"its columns: {', '.join(names)}",
                )
            for number, row in sheet.rows((column, "tag")):
                if isinstance(row, MalformedRow):
                    raise UsageError(f"{path}, row {number + 1}: {row.message}")
                yield _parse_image(row[column], column in _IDS, path, number), str(row["tag"] or "").strip()
    except MediaError as error:
        raise UsageError(f"{path} cannot be read as a table: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _parse_image(cell: Any, is_id: bool, path: Path, number: int) -> AnyImage:
    text = str(cell if cell is not None else "").strip()
    if not text:
        raise UsageError(f"{path}, row {number + 1}: no image is named")
    if not is_id:
        return text
    if (image_id := parse_id(text)) is None:
        raise UsageError(f"{path}, row {number + 1}: {text!r} is not an id")
    return image_id
