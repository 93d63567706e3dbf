"""``imseek watch``: watch folders and index their changes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonLinesOption, rare
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.index import IndexRun, UntrustedOption, choose_for_index, open_for_index
from imseek.ui.cli.output import say
from imseek.ui.cli.progress import StopSignals
from imseek.ui.cli.runtime_flags import runtime_flags
from imseek.ui.cli.skip_known_flags import SKIP_KNOWN_FLAGS, SkipKnown
from imseek.ui.render.indexing_text import watch_line
from imseek.ui.render.result_json import Answer, CollectionName, print_json
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.types.indexing_runs import IndexReport


app = Group()


@app.command(
    "imseek watch", "imseek watch ~/Pictures", "imseek watch ~/Scans -c scans", "imseek watch --settle 10 --json"
)
@with_groups(runtime=runtime_flags(), skip_known=SKIP_KNOWN_FLAGS)
def watch(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER...", help="Folders to watch (default: all sources that are folders)."),
    ] = None,
    collection: CollectionOption = None,
    settle: Annotated[
        float,
        rare(
            "--settle",
            min=0.0,
            metavar="SECONDS",
            help="How long a file must stay unchanged before it is indexed.",
        ),
    ] = 2.0,
    rescan: Annotated[
        float,
        rare(
            "--rescan",
            min=1.0,
            metavar="SECONDS",
            help="How often to scan whole folders, in case an event was missed.",
        ),
    ] = 3600.0,
    untrusted: UntrustedOption = False,
    as_json: JsonLinesOption = False,
    *,
    runtime: Runtime,
    skip_known: SkipKnown,
) -> int:
    """Watch folders, and index files that are added, changed, moved or deleted once they are stable. Press
    Ctrl-C to stop.

    If a folder disappears or is suddenly empty, as when a disk is unmounted, no image is removed: the command
    waits for it. A collection that does not exist yet is created, if folders are named.
    """
    import imseek.watch

    folders = [str(path) for path in paths or ()]
    target = choose_for_index(folders, False, collection)

    def tell(report: IndexReport) -> None:
        if as_json:
            print_json(Answer(CollectionName.of(target), IndexRun(report)), line=True)
            return
        print(f"{time.strftime('%H:%M:%S')} {watch_line(report)}", flush=True)
        for failure in report.failures:
            path = printable(os.fsdecode(failure.path))
            say(f"skipped ({failure.reason}): {path}: {printable(failure.message)}")
        for note in report.notes:
            say(printable(note))

    opening = open_for_index(
        target, folders, None, [], runtime, captions=False, here=False, quiet=as_json, dry_run=False
    )
    with opening as handle, StopSignals() as signals:
        imseek.watch.watch(
            handle,
            paths or [],
            settle=settle,
            rescan=rescan,
            skip_known=skip_known.folders(target.path),
            untrusted=untrusted,
            stop=signals.event,
            on_report=tell,
            on_notice=lambda line: say(printable(line)),
        )
    return signals.exit_code
