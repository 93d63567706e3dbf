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
    purged = upkeep.purge(chosen.path) if purge else None
    if as_json:
        body = {"collection": jsonout.collection(chosen), **jsonout.maintained(merged, purged)}
        jsonout.print_json(body)
        return
    print("\n".join([*_merge_lines(merged), *_purge_lines(purged)] or ["nothing to do"]))


def _merge_lines(report: MergeReport | None) -> list[str]:
    lines = []
    if report is not None and report.merges:
        lines.append(f"merged: {count(report.shards_before, 'shard')} before, {report.shards:,} now")
    if report is not None and report.removed:
        lines.append(f"removed {count(report.removed, 'file')} that nothing uses any more")
    return lines


def _purge_lines(report: PurgeReport | None) -> list[str]:
    if report is None or not report:
        return []
    return [
        f"purged {count(report.images, 'image')}: {count(report.shards, 'shard')} written anew, "
        f"{count(report.records, 'row')} and {count(report.files, 'file')} ({size(report.bytes)}) removed"
    ]
