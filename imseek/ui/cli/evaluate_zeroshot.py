"""``imseek evaluate zeroshot``: evaluate zero-shot labels against ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, WhereOption
from imseek.ui.cli.label import (
    CentredOption,
    ClassesOption,
    MultiOption,
    NoneOption,
    TemperatureOption,
    TemplatesOption,
    none_sentences,
)
from imseek.ui.cli.output import say
from imseek.ui.cli.progress import stoppable
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.text import format_interval, table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.labels.results import Calibration, LabelEvaluation

_WIDTH: Final = 30


app = Group()


@app.command(
    "imseek evaluate zeroshot",
    "imseek evaluate zeroshot --truth tags --classes cat,dog --templates pets",
    "imseek evaluate zeroshot --truth kind --save-temperature mine",
)
def zeroshot(
    classes: ClassesOption = None,
    truth: Annotated[
        str,
        typer.Option(
            "--truth",
            metavar="folder|tags|COLUMN",
            help="Where the true classes come from: folder names, tags, or a column (`column:folder` for "
            "one named folder).",
        ),
    ] = "folder",
    templates: TemplatesOption = None,
    none: NoneOption = None,
    multi: MultiOption = False,
    temperature: TemperatureOption = None,
    centred: CentredOption = False,
    where: WhereOption = None,
    save_temperature: Annotated[
        str | None,
        typer.Option(
            "--save-temperature",
            metavar="NAME",
            help="Learn a temperature from half of the images and store it, for use as --temperature NAME.",
        ),
    ] = None,
    limit: Annotated[int, options.limit("How many classes and mistakes to show.")] = 20,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure zero-shot labels against known classes: accuracy, mistakes, and calibration of the probabilities."""
    target = choose_collection(collection, quiet=as_json)
    from imseek import labels

    with stoppable() as controls:
        evaluation = labels.evaluate(
            target.path,
            classes,
            truth=truth,
            templates=templates,
            none=none_sentences(none),
            multi=multi,
            temperature=temperature,
            centred=centred,
            where=where,
            save_temperature=save_temperature,
            **controls,
        )
    if as_json:
        print_answer(replace(evaluation, confusions=evaluation.confusions[:limit]), target)
        return 0
    for note in evaluation.notes:
        say(printable(note))
    print("\n".join(_lines(evaluation, limit)))
    if evaluation.calibration is not None:
        for note in evaluation.calibration.notes:
            say(printable(note))
        print("\n".join(_calibration_lines(evaluation.calibration)))
    return 0


def _lines(evaluation: LabelEvaluation, limit: int) -> list[str]:
    head = (
        f"{format_count(evaluation.images, 'image')}, {format_count(len(evaluation.classes), 'class', 'classes')} "
        f"by {evaluation.truth}"
    )
    out = [
        printable(f"{head}; cosines × {evaluation.factor:.4g} ({evaluation.factor_source})"),
        table(
            ("top-1", "top-5", "mean per class", "calibration error", "log-likelihood"),
            [
                (
                    format_interval(evaluation.top1),
                    format_interval(evaluation.top5),
                    format_interval(evaluation.mean_per_class),
                    f"{evaluation.ece:.3f}",
                    f"{-evaluation.nll:.3f}",
                )
            ],
        ),
    ]
    worst = sorted(evaluation.per_class, key=lambda one: one.accuracy)
    if limit:
        rows = [(f"{one.accuracy:.2f}", f"{one.images:,}", _shorten(one.name)) for one in worst[:limit]]
        out += ["", table(("accuracy", "images", "class (the worst first)"), rows, right=(0, 1))]
    if limit and evaluation.confusions:
        rows = [
            (
                f"{one.images:,}",
                _shorten(one.truth),
                "none of these" if one.label is None else _shorten(one.label),
            )
            for one in evaluation.confusions[:limit]
        ]
        out += ["", table(("images", "are", "labelled"), rows, right=(0,))]
    return out


def _calibration_lines(calibration: Calibration) -> list[str]:
    images = "the other half" if calibration.held_out else "the same images"
    bias = "" if calibration.bias is None else f" {calibration.bias:+.4g}"
    return [
        "",
        f"temperature {calibration.name}: cosines × {calibration.factor:.4g}{bias}, from "
        f"{format_count(calibration.images, 'image')}",
        f"on {images}: calibration error {calibration.ece_before:.3f} → {calibration.ece_after:.3f}, "
        f"log-likelihood {-calibration.nll_before:.3f} → {-calibration.nll_after:.3f}",
    ]


def _shorten(name: str) -> str:
    return shorten(name, _WIDTH)
