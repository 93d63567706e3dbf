"""``imseek maintain``: tidying a collection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from imseek import library
from imseek.errors import UsageError
from imseek.ui.cli import jsonout
from imseek.ui.cli.output import count, say, say_collection, size
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.cli.runtime import with_runtime
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, printable
from imseek.ui.cli.transfer import download_bar

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.types import MergeReport, PurgeReport, ReencodeReport

_SHOWN_MISSING = 20


def register(app: typer.Typer) -> None:
    app.command(
        "maintain",
        epilog=examples(
            "imseek maintain",
            "imseek maintain --purge",
            "imseek maintain --reencode default",
            "imseek maintain --drop-space 0",
        ),
    )(maintain)


@with_runtime()
def maintain(
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge small shards, as indexing does along the way.")
    ] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Remove every byte of what has left the collection, backups included."),
    ] = False,
    reencode: Annotated[
        str | None,
        typer.Option(
            "--reencode",
            metavar="REFERENCE",
            help="Encode every picture again, then search in the new space; searches go on meanwhile.",
        ),
    ] = None,
    space: Annotated[
        int | None,
        typer.Option(
            "--space", metavar="N", help="With --reencode: the space that is replaced (default: the first)."
        ),
    ] = None,
    add_space: Annotated[
        str | None,
        typer.Option(
            "--add-space", metavar="REFERENCE", help="The same for one more space, behind the others."
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Switch also where many pictures cannot be read now."),
    ] = False,
    drop_space: Annotated[
        int | None,
        typer.Option("--drop-space", metavar="N", help="Drop a space, such as one kept after --reencode."),
    ] = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    *,
    runtime: Runtime,
) -> int:
    """Tidy a collection. Without an option, do what is due: merge small shards, clear away unused files."""
    from imseek import upkeep

    if reencode is not None and add_space is not None:
        raise UsageError("--reencode and --add-space exclude each other")
    if space is not None and reencode is None:
        raise UsageError("--space goes with --reencode")
    other = purge or reencode is not None or add_space is not None or drop_space is not None
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    merged = upkeep.merge(chosen.path) if merge or not other else None
    if merged is not None and not as_json:
        print("\n".join(_merge_lines(merged)))
    encoded, code = None, 0
    if (reference := reencode or add_space) is not None:
        with StopSignals() as signals, download_bar(), progress_bar() as progress:
            encoded = upkeep.reencode(
                chosen.path,
                reference,
                space=space,
                add=add_space is not None,
                allow_missing=allow_missing,
                runtime=runtime,
                progress=progress,
                stop=signals.event,
                notify=say,
            )
        code = {"interrupted": signals.exit_code, "refused": 1}.get(encoded.outcome, 0)
        if not as_json:
            print("\n".join(_reencode_lines(encoded)))
    dropped = upkeep.drop_space(chosen.path, drop_space) if drop_space is not None and not code else None
    if dropped is not None and not as_json:
        print(
            f"dropped space {dropped.space_id} ({printable(dropped.encoder)}): {size(dropped.bytes)} go with time"
        )
    purged = upkeep.purge(chosen.path) if purge and not code else None
    if as_json:
        body = jsonout.maintained(merged, purged, encoded, dropped)
        jsonout.print_json({"collection": jsonout.collection(chosen), **body})
    elif purged is not None:
        print(_purge_line(purged))
    return code


def _reencode_lines(report: ReencodeReport) -> list[str]:
    said = {
        "switched": f"searches use {report.encoder} now (space {report.space_id})",
        "already": f"searches use {report.encoder} already (space {report.space_id})",
        "interrupted": "interrupted: what was encoded is kept; the same command goes on from here",
        "refused": f"not switched to {report.encoder}",
    }
    lines = [
        printable(said[report.outcome]),
        f"{report.encoded:,} encoded, {report.copied:,} copied, {report.before:,} before, of "
        f"{count(report.images, 'image')} ({report.seconds:.1f} s)",
    ]
    for missing in report.missing[:_SHOWN_MISSING]:
        where = f"image {missing.image_id}" if missing.place is None else missing.place.display
        lines.append(f"{missing.reason}  {where}: {printable(missing.message)}")
    if len(report.missing) > _SHOWN_MISSING:
        lines.append(f"and {len(report.missing) - _SHOWN_MISSING:,} more: --json lists them all")
    if report.replaced is not None and report.outcome == "switched":
        lines.append(
            f"space {report.replaced} is kept: `imseek maintain --drop-space {report.replaced}` removes it"
        )
    return [*lines, *map(printable, report.notes)]


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
