"""``imseek evaluate cutoff``: calibrate what ``--cutoff 10%`` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.evaluate_shared import CaptionColumnOption, CaptionsOption, left_out_lines
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.evaluate.results import CutoffReport

_KINDS: Final = {"auto": "words", "image": "words, --by image", "picture": "pictures"}


app = Group()


@app.command(
    "imseek evaluate cutoff",
    "imseek evaluate cutoff --captions judgements.csv --caption-column query",
    "imseek search 'a red car' --cutoff 10%",
)
@with_runtime()
def cutoff(
    run: Run,
    captions: CaptionsOption = None,
    caption_column: CaptionColumnOption = None,
    *,
    runtime: Runtime,
) -> int:
    """Calibrate `search --cutoff 10%` by captions or judgements, and measure what lists of such a length keep.
    The calibration is stored in the collection."""
    from imseek import evaluate

    run.interrupted = "interrupted: nothing was stored"
    with run.work() as controls:
        report = evaluate.cutoff(
            run.path, captions=captions, caption_column=caption_column, runtime=runtime, notify=say, **controls
        )
    notes = [f"note: {note}" for note in report.notes]
    return run.finish(report, lambda: _lines(report), notes=notes, interrupted=report.interrupted)


def _lines(report: CutoffReport) -> list[str]:
    head = ("queries", "", "--cutoff", "lost of held-out ones", "images in a list")
    rows = [
        (
            _KINDS[one.kind],
            f"{one.queries:,}",
            f"{promise.promise:.0%}",
            f"{promise.loss:.1%} ± {promise.deviation:.1%}",
            f"about {promise.length:,} of {report.images:,}",
        )
        for one in report.kinds
        for promise in one.promises
    ]
    lines = [f"calibrated {report.encoder} by texts of {format_count(report.images, 'image')}", table(head, rows)]
    lines.append("lost: the mean over 20 random halves of the queries, by what the other half calibrates")
    return [*lines, *left_out_lines(report.left_out)]
