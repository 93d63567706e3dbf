"""``imseek album``: list, create and change albums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from imseek.errors import UsageError
from imseek.types.albums import Album, AlbumInfo, AlbumReport
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.image_arguments import parse_image, parse_images
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable

app = Group(
    "List, create and change albums: tags with a cover and an order.",
    "imseek album create Lisbon --where \"path LIKE '%/lisbon/%'\"",
    "imseek album list",
)


@dataclass(frozen=True, slots=True)
class AlbumList:
    """All albums, by name."""

    albums: tuple[AlbumInfo, ...]


NameArgument = Annotated[str, typer.Argument(metavar="ALBUM", help="The name of the album, one word or more.")]
ImagesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Ids (17, id:17) or files; - reads them from stdin, one per line."),
]
WhereOption = Annotated[str | None, options.where("All images that match this condition (docs/where.md).")]


@app.command("imseek album list", name="list")
@with_groups(output=LIST_FLAGS)
def list_(collection: CollectionOption = None, *, output: ListFlags) -> int:
    """List all albums with how many images they have."""
    from imseek import albums

    run = Run.on(collection, as_json=output.as_json)
    every = albums.every(run.path)
    output.write(("name", "images", "cover"), map(to_json, every))
    rows = [(f"{one.images:,}", printable(one.name)) for one in every]
    notes = [] if every else ["there is no album yet: `imseek album create NAME`"]
    lines = [table(("images", "album"), rows, right=(0,))] if every else []
    return run.finish(AlbumList(every), output.lines(lambda: lines), notes=notes)


@app.command("imseek album show Lisbon", "imseek album show Lisbon --json | jq '.image_ids[]'")
def show(run: Run, name: NameArgument) -> int:
    """Print the ids of an album's images, in its order."""
    from imseek import albums

    album: Album = albums.get(run.path, name)
    return run.finish(album, lambda: [str(image_id) for image_id in album.image_ids])


@app.command("imseek album create Lisbon 17 harbour.jpg", "imseek album create best")
def create(
    run: Run,
    name: NameArgument,
    images: ImagesArgument = None,
    where: WhereOption = None,
) -> int:
    """Create an album, empty or with images. A tag of that name becomes the album, with the images that have it."""
    from imseek import albums

    references = parse_images(images or ())
    return _print_report(run, albums.create(run.path, name, references, where=where))


@app.command("imseek album add Lisbon 17 harbour.jpg", "imseek album add Lisbon --where 'year = 2024'")
def add(run: Run, name: NameArgument, images: ImagesArgument = None, where: WhereOption = None) -> int:
    """Add images to the end of an album."""
    from imseek import albums

    return _change_members(albums.add, run, name, images, where)


@app.command("imseek album remove Lisbon 17")
def remove(run: Run, name: NameArgument, images: ImagesArgument = None, where: WhereOption = None) -> int:
    """Remove images from an album; they stay in the collection."""
    from imseek import albums

    return _change_members(albums.remove, run, name, images, where)


@app.command("imseek album arrange Lisbon 23 17", "imseek album arrange Lisbon --cover 17")
def arrange(
    run: Run,
    name: NameArgument,
    images: ImagesArgument = None,
    cover: Annotated[
        str | None, typer.Option("--cover", metavar="IMAGE", help="Choose the image that stands for the album.")
    ] = None,
) -> int:
    """Put images of an album in this order, before its others, and choose its cover."""
    from imseek import albums

    if not images and cover is None:
        raise UsageError("no images are given", hint="name ids or files in the order that they are to have, or --cover")
    references = parse_images(images or ())
    cover_image = None if cover is None else parse_image(cover)
    report = albums.arrange(run.path, name, references) if images else None
    if cover_image is not None:
        report = albums.set_cover(run.path, name, cover_image)
    assert report is not None
    return _print_report(run, report)


@app.command("imseek album rename Lisbon 'Lisbon 2024'")
def rename(
    run: Run,
    name: NameArgument,
    to: Annotated[str, typer.Argument(metavar="NEW", help="The new name of the album.")],
) -> int:
    """Rename an album, and its tag on all images."""
    from imseek import albums

    return _print_report(run, albums.rename(run.path, name, to))


@app.command("imseek album delete Lisbon")
def delete(run: Run, name: NameArgument) -> int:
    """Delete an album, and its tag on all images; the images stay in the collection."""
    from imseek import albums

    report = albums.delete(run.path, name)
    return run.finish(report, lambda: [f"deleted {printable(name)}; {format_count(report.changed, 'image')} stay"])


def _change_members(
    change: Callable[..., AlbumReport], run: Run, name: str, images: list[str] | None, where: str | None
) -> int:
    if not images and where is None:
        raise UsageError("no images are given", hint="name ids or files, use - for stdin, or --where")
    references = parse_images(images or ())
    return _print_report(run, change(run.path, name, references, where=where))


def _print_report(run: Run, report: AlbumReport) -> int:
    line = f"{printable(report.name)}: {format_count(report.images, 'image')}; {report.changed:,} changed"
    return run.finish(report, lambda: [line])
