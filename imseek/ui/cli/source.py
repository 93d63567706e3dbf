"""``imseek source``: list, remove and relocate the sources of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

import imseek
from imseek.errors import UsageError
from imseek.types.collection_info import SourceInfo
from imseek.ui.cli import common_options as options
from imseek.ui.cli import confirmation_prompt
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.info import missing_source_lines, sources_table
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.render.result_json import to_json
from imseek.ui.render.words import format_count, printable

app = Group(
    "List, remove and relocate the sources of a collection.",
    "imseek source list",
    "imseek source relocate 1 /mnt/new/Pictures",
)

_COLUMNS: Final = ("source_id", "kind", "path", "path_b64", "images", "failures", "present")
SourceArgument = Annotated[
    int, typer.Argument(metavar="SOURCE", help="The number of the source in `imseek source list`.")
]


@dataclass(frozen=True, slots=True)
class SourceList:
    """The sources of a collection."""

    sources: tuple[SourceInfo, ...]


@app.command("imseek source list", name="list")
@with_groups(output=LIST_FLAGS)
def list_(collection: CollectionOption = None, *, output: ListFlags) -> int:
    """List the sources of the images."""
    run = Run.on(collection, as_json=output.as_json)
    with imseek.open(run.path) as handle:
        sources = handle.info().sources
    output.write(_COLUMNS, map(to_json, sources))
    notes = missing_source_lines(sources) if sources else ["no source yet: `imseek index FOLDER` adds one"]
    lines = output.lines(lambda: [sources_table(sources)] if sources else [])
    return run.finish(SourceList(sources), lines, notes=notes)


@app.command("imseek source remove 2")
def remove(source: SourceArgument, collection: CollectionOption = None) -> None:
    """Remove a source and its images from the collection. The files stay."""
    target = choose_collection(collection)
    with imseek.open(target.path) as handle:
        removed = handle.remove_source(source)
    print(f"removed source {source} with {format_count(removed, 'image')}; the files are untouched")
    say("their stored data stays on the disk until `imseek maintain --purge`")


@app.command("imseek source relocate 1 /mnt/new/Pictures")
def relocate(
    source: SourceArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The new path of the source.")],
    yes: Annotated[bool, options.yes("Relocate it even if some of its files are not there.")] = False,
    collection: CollectionOption = None,
) -> None:
    """Tell imseek that a source has moved. Its images keep their ids, and nothing is encoded again."""
    from imseek import overview

    target = choose_collection(collection)
    present, images = overview.count_at(target.path, source, path)
    # If none is found, relocate_source refuses.
    if 0 < present < images and not yes:
        line = f"{present:,} of {format_count(images, 'image')} found in {printable(str(path.absolute()))}"
        if not confirmation_prompt.can_ask():
            raise UsageError(line, hint="--yes relocates it; the next `imseek index` removes the others")
        confirmation_prompt.ask([line], "The next `imseek index` removes the others. Relocate it?")
    with imseek.open(target.path) as handle:
        count = handle.relocate_source(source, path)
    print(f"source {source} is now {printable(str(path.absolute()))} ({format_count(count, 'image')})")
