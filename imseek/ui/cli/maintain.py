"""``imseek maintain``: tidying a collection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from imseek import library
from imseek.ui.cli import jsonout
from imseek.ui.cli.output import count, say_collection, size
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples

if TYPE_CHECKING:
    from imseek.types import MergeReport, PurgeReport


def register(app: typer.Typer) -> None:
    app.command("maintain", epilog=examples("imseek maintain", "imseek maintain --purge"))(maintain)


def maintain(
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge small shards, as indexing does along the way.")
    ] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Remove every byte of what has left the collection, backups included."),
    ] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tidy a collection. Without an option, do what is due: merge small shards, clear away unused files."""
    from imseek import upkeep

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    merged = upkeep.merge(chosen.path) if merge or not purge else None
    if merged is not None and not as_json:
        print("\n".join(_merge_lines(merged)))
    purged = upkeep.purge(chosen.path) if purge else None
    if as_json:
        body = {"collection": jsonout.collection(chosen), **jsonout.maintained(merged, purged)}
        jsonout.print_json(body)
        return
    if purged is not None:
        print(_purge_line(purged))


def _merge_lines(report: MergeReport) -> list[str]:
    lines = []
    if report.merges:
        lines.append(f"merged: {count(report.shards_before, 'shard')} before, {report.shards:,} now")
    if report.removed:
        lines.append(f"removed {count(report.removed, 'file')} that nothing uses any more")
    return lines or ["nothing to do"]


def _purge_line(report: PurgeReport) -> str:
    counts = (
        (report.images, count(report.images, "image")),
        (report.records, count(report.records, "row")),
        (report.shards, f"{count(report.shards, 'shard')} written anew"),
        (report.files, f"{count(report.files, 'file')} ({size(report.bytes)})"),
    )
    found = ", ".join(text for number, text in counts if number)
    return f"purged{': ' if found else ''}{found}; no file holds anything of what has left the collection"
