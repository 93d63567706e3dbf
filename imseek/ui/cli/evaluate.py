"""``imseek evaluate``: how good search is, by captions, labels, and exact search."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from imseek import library
from imseek.ui.cli import evaljson, jsonout
from imseek.ui.cli.output import count, say, say_collection, table
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.cli.texts import CollectionOption, JsonOption, WhereOption, current_folder, examples, printable

if TYPE_CHECKING:
    from imseek.types.evaluate import Estimate, LeftOut, RetrievalReport, Retrieved

app = typer.Typer(
    help="Measure how good search is, by captions, by labels, and against exact search. Nothing is stored.",
    epilog=examples("imseek evaluate retrieval", "imseek evaluate retrieval --captions captions.csv --json"),
    rich_markup_mode=None,
)
# Zero-shot classification: evaluate_zeroshot.register(app).

CaptionsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="A table (.csv, .jsonl, .parquet) of path or image_id, and caption; default: those of the collection.",
    ),
]
CaptionColumnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--caption-column", metavar="NAME", help="The column with the captions, where its name does not tell."
    ),
]
KOption: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--k", metavar="K", help="For R@K; may be repeated (default: 1, 5 and 10)."),
]
_SHOWN: Final = 5


@app.command(
    "retrieval",
    epilog=examples(
        "imseek evaluate retrieval",
        "imseek evaluate retrieval --captions coco.jsonl --among all",
        'imseek evaluate retrieval --where "year >= 2022" --k 1 --k 100 --json',
    ),
)
def retrieval(
    captions: CaptionsOption = None,
    caption_column: CaptionColumnOption = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space", metavar="ID|ENCODER", help="Which vectors of pictures (default: the first space)."
        ),
    ] = None,
    where: WhereOption = None,
    among: Annotated[
        Literal["captioned", "all"],
        typer.Option(
            "--among", help="Rank among the images that have a caption, as benchmarks do, or among all."
        ),
    ] = "captioned",
    k: KOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ask for each picture by its captions and for each caption by its picture: R@K, ranks, average precision."""
    from imseek import evaluate

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    with StopSignals() as signals, progress_bar() as progress:
        report = evaluate.retrieval(
            chosen.path,
            captions=captions,
            caption_column=caption_column,
            space=number_or_name(space),
            where=where,
            among=among,
            ks=k or None,
            progress=progress,
            stop=signals.event,
            notify=say,
        )
    if as_json:
        jsonout.print_json(evaljson.retrieval(report, chosen))
    else:
        print("\n".join(_lines(report)))
        for note in report.notes:
            say(f"note: {note}")
    if report.interrupted:
        say("interrupted: nothing was measured")
    return signals.exit_code if report.interrupted else 0


def number_or_name(said: str | None) -> int | str | None:
    """A space as it is typed: its id, or the reference of its encoder."""
    return int(said) if said is not None and said.isdecimal() else said


def _lines(report: RetrievalReport) -> list[str]:
    came = {"space": "embedded before", "metadata": "embedded for this", "given": "given"}
    lines = [
        f"{count(report.captions, 'caption')} ({came[report.captions_from]}) of {report.encoder}, "
        f"ranked among {count(report.images, 'image')}"
    ]
    found = [
        (name, one)
        for name, one in (
            ("words → picture", report.text_to_image),
            ("picture → words", report.image_to_text),
        )
        if one is not None
    ]
    if found:
        ks = sorted({k for _, one in found for k in one.recall})
        head = ("", *(f"R@{k}" for k in ks), "median rank", "mean rank", "mAP")
        lines.append(table(head, [_row(name, one, ks) for name, one in found]))
        lines.append("in brackets: 95 % bootstrap intervals over questions")
    return [*lines, *left_out_lines(report.left_out)]


def left_out_lines(left_out: LeftOut) -> list[str]:
    lines = []
    if left_out.unknown:
        names = ", ".join(printable(name) for name in left_out.names[:_SHOWN])
        more = ", …" if left_out.unknown > _SHOWN else ""
        lines.append(
            f"left out, naming no image that counts: {count(left_out.unknown, 'row')} ({names}{more})"
        )
    if left_out.empty:
        lines.append(f"left out, without a caption: {count(left_out.empty, 'row')}")
    return lines


def _row(name: str, one: Retrieved, ks: Sequence[int]) -> tuple[str, ...]:
    cells = [brackets(one.recall[k]) if k in one.recall else "" for k in ks]
    return (
        name,
        *cells,
        brackets(one.median_rank, ".4g"),
        brackets(one.mean_rank, ".1f"),
        brackets(one.mean_average_precision),
    )


def brackets(estimate: Estimate, form: str = ".3f") -> str:
    """``0.474 [0.420, 0.529]``."""
    value, low, high = (format(number, form) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"
