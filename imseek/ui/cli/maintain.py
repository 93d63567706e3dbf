"""``imseek maintain``: tidying a collection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imseek import library
from imseek.ui.cli import jsonout
from imseek.ui.cli.output import count, say, say_collection, size
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, printable

if TYPE_CHECKING:
    from imseek.types import CaptionReport, MergeReport, PurgeReport


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
    captions: Annotated[
        bool,
        typer.Option(
            "--captions", help="Embed the captions it holds, for `search --by caption`; no picture is read."
        ),
    ] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tidy a collection. Without an option, do what is due: merge small shards, clear away unused files."""
    from imseek import upkeep

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    embedded, interrupted = _embed(chosen.path) if captions else (None, 0)
    if embedded is not None and not as_json:
        print("\n".join(_caption_lines(embedded)))
    due = (merge or not (purge or captions)) and not interrupted
    merged = upkeep.merge(chosen.path) if due else None
    if merged is not None and not as_json:
        print("\n".join(_merge_lines(merged)))
    purged = upkeep.purge(chosen.path) if purge and not interrupted else None
    if as_json:
        body = {"collection": jsonout.collection(chosen), **jsonout.maintained(merged, purged, embedded)}
        jsonout.print_json(body)
    elif purged is not None:
        print(_purge_line(purged))
    return interrupted


def _embed(path: Path) -> tuple[CaptionReport, int]:
    """Embed captions until that is done, or a signal stops it; returns the exit code too."""
    from imseek import upkeep
    from imseek.ui.cli.progress import StopSignals, progress_bar

    with StopSignals() as signals, progress_bar() as progress:
        report = upkeep.embed_captions(path, progress=progress, stop=signals.event, notify=say)
    return report, signals.exit_code if report.outcome == "interrupted" else 0


def _caption_lines(report: CaptionReport) -> list[str]:
    if report.outcome == "interrupted":
        return ["interrupted: what was embedded is kept; the same command goes on from here"]
    held = f"{report.captions:,} of {count(report.images, 'image')} have a caption"
    already = f"captions are embedded already with {printable(report.encoder)}: {held}"
    made = f"embedded captions with {printable(report.encoder)}: {held} ({report.seconds:.1f} s)"
    return [already if report.outcome == "already" else made, *map(printable, report.notes)]


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
