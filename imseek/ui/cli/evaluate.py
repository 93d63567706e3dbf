"""``imseek evaluate``: evaluate search by captions, labels and exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli import evaluate_ann, evaluate_compare, evaluate_cutoff, evaluate_zeroshot
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import WhereOption
from imseek.ui.cli.evaluate_shared import (
    CaptionColumnOption,
    CaptionsOption,
    KOption,
    left_out_lines,
    parse_space,
    retrieval_table,
)
from imseek.ui.cli.output import say
from imseek.ui.render.words import format_count

if TYPE_CHECKING:
    from imseek.evaluate.results import RetrievalReport

app = Group(
    "Measure the quality of search, by captions, by labels, and against exact search. Only `cutoff` stores anything.",
    "imseek evaluate retrieval",
    "imseek evaluate ann",
    "imseek evaluate compare --encoder builtin --encoder default",
)


@app.command(
    "imseek evaluate retrieval",
    "imseek evaluate retrieval --captions coco.jsonl --among all",
    'imseek evaluate retrieval --where "year >= 2022" --k 1 --k 100 --json',
)
def retrieval(
    run: Run,
    captions: CaptionsOption = None,
    caption_column: CaptionColumnOption = None,
    space: Annotated[str | None, options.space("The vector space of the pictures (default: the first).")] = None,
    where: WhereOption = None,
    among: Annotated[
        Literal["captioned", "all"],
        typer.Option("--among", help="Rank among the captioned images only, as benchmarks do, or among all images."),
    ] = "captioned",
    k: KOption = None,
) -> int:
    """Search for each picture by its captions and for each caption by its picture: R@K, ranks, average precision."""
    from imseek import evaluate

    run.interrupted = "interrupted: nothing was measured"
    with run.work() as controls:
        report = evaluate.retrieval(
            run.path,
            captions=captions,
            caption_column=caption_column,
            space=parse_space(space),
            where=where,
            among=among,
            ks=k or None,
            notify=say,
            **controls,
        )
    notes = [f"note: {note}" for note in report.notes]
    return run.finish(report, lambda: _lines(report), notes=notes, interrupted=report.interrupted)


def _lines(report: RetrievalReport) -> list[str]:
    origins = {"space": "embedded before", "metadata": "embedded for this", "given": "given"}
    lines = [
        f"{format_count(report.captions, 'caption')} ({origins[report.captions_from]}) of {report.encoder}, "
        f"ranked among {format_count(report.images, 'image')}"
    ]
    both = (("words → picture", report.text_to_image), ("picture → words", report.image_to_text))
    if rows := [(name, one) for name, one in both if one is not None]:
        lines += [retrieval_table(rows), "in brackets: 95 % bootstrap intervals over questions"]
    return [*lines, *left_out_lines(report.left_out)]


for _module in (evaluate_zeroshot, evaluate_ann, evaluate_compare, evaluate_cutoff):
    app.add_typer(_module.app)
