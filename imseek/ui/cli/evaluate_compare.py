"""``imseek evaluate compare``: compare two encoders on the same pictures and captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from imseek import Estimate
from imseek.errors import UsageError
from imseek.evaluate import better_side
from imseek.evaluate.results import CompareReport, RetrievalComparison
from imseek.types.json_form import Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_two
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, JsonOption, WhereOption
from imseek.ui.cli.evaluate_shared import (
    CaptionColumnOption,
    CaptionsOption,
    KOption,
    left_out_lines,
    parse_space,
    retrieval_table,
)
from imseek.ui.cli.output import say
from imseek.ui.render.result_json import CollectionName
from imseek.ui.render.text import format_interval, table
from imseek.ui.render.words import format_count, printable


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of two encoders, or of two collections."""

    against: CollectionName | None
    """The other collection, where two are compared."""
    report: Annotated[CompareReport, Json(inline=True)]


app = Group()


@app.command(
    "imseek evaluate compare --encoder builtin --encoder default",
    "imseek evaluate compare --encoder 0 --encoder 1 --captions captions.csv",
    "imseek evaluate compare --against other --json",
)
def compare(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="ID|REFERENCE",
            help="Two encoders, or one to compare with the first space. Stored vectors are used if there are any.",
        ),
    ] = None,
    against: Annotated[
        str | None, options.against("Compare with another collection, over the pictures that both have.")
    ] = None,
    captions: CaptionsOption = None,
    caption_column: CaptionColumnOption = None,
    where: WhereOption = None,
    k: KOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compare two encoders or two collections: which finds more, and whether the difference is significant.
    Nothing is stored."""
    references = list(encoder or ())
    if (against is None) == (not references) or len(references) > 2:
        raise UsageError(
            "name one or two encoders, or another collection",
            hint="--encoder A --encoder B, or --against COLLECTION",
        )
    from imseek import evaluate

    target, other = choose_two(collection, against, quiet=as_json)
    run = Run(target, as_json, "interrupted: nothing was measured")
    encoders = None
    if other is None:
        a, b = (parse_space(reference) for reference in (references if len(references) == 2 else [None, *references]))
        encoders = (a, b)
    with run.work() as controls:
        report = evaluate.compare(
            target.path,
            encoders=encoders,
            against=None if other is None else other.path,
            captions=captions,
            caption_column=caption_column,
            where=where,
            ks=k or None,
            notify=say,
            **controls,
        )
    return run.finish(
        Comparison(None if other is None else CollectionName.of(other), report),
        lambda: [] if report.interrupted else _lines(report),
        interrupted=report.interrupted,
    )


def _lines(report: CompareReport) -> list[str]:
    lines = [
        f"A: {report.a.encoder}{'' if report.a.stored else ' (encoded for this)'}",
        f"B: {report.b.encoder}{'' if report.b.stored else ' (encoded for this)'}",
        f"{format_count(report.captions, 'caption')}, ranked among {format_count(report.images, 'image')}",
    ]
    both = (("words → picture", report.text_to_image), ("picture → words", report.image_to_text))
    for name, compared in both:
        if compared is not None:
            lines += [
                "",
                name,
                retrieval_table([("A", compared.a), ("B", compared.b)]),
                _differences(compared),
            ]
    lines += ["", _verdict(report)]
    lines += left_out_lines(report.left_out)
    if report.unreadable:
        lines.append(f"left out, since they cannot be read: {format_count(report.unreadable, 'picture')}")
        lines += [f"  {printable(reason)}" for reason in report.reasons]
    return lines


def _differences(compared: RetrievalComparison) -> str:
    rows = [(f"R@{k}", format_interval(one, "+.3f"), _better_side(one)) for k, one in compared.recall.items()]
    average = compared.mean_average_precision
    return table(("B − A", "", ""), [*rows, ("mAP", format_interval(average, "+.3f"), _better_side(average))])


def _better_side(difference: Estimate) -> str:
    side = better_side(difference)
    return "no difference shown" if side is None else f"{side.upper()} is better"


def _verdict(report: CompareReport) -> str:
    if report.text_to_image is None:
        return ""
    side = _better_side(report.text_to_image.mean_average_precision)
    return f"verdict, by the mAP of words → picture: {side} (paired bootstrap, 95 %)"
