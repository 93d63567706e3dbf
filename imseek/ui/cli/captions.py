"""``imseek captions``: find captions that do not fit their pictures, and keep the best pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli import pairs_file
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import (
    CollectionOption,
    SaveScoresOption,
    WhereOption,
)
from imseek.ui.cli.evaluate_shared import left_out_lines
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import IMAGE_COLUMNS
from imseek.ui.cli.quantities import parse_share
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.captions import Agreement, AgreementSummary
    from imseek.ui.cli.score_answers import ScoredCaptions

_WIDTH: Final = 60
_COLUMNS: Final = ("score", *IMAGE_COLUMNS, "caption")
_MEASURE_NAMES: Final = {"cosine": "cosine", "clipscore": "CLIPScore", "refclipscore": "RefCLIPScore"}


app = Group()


@app.command(
    "imseek captions",
    "imseek captions -n 500 --csv worst.csv",
    "imseek captions --score --save clipscore",
    "imseek captions --keep 30% --basic --export kept.parquet",
    name="captions",
)
@with_groups(output=LIST_FLAGS)
def run(
    score: Annotated[
        bool, typer.Option("--score", help="Show CLIPScore, 2.5 · max(cosine, 0), instead of the cosine.")
    ] = False,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            metavar="FILE",
            help="Show RefCLIPScore, with reference captions from a table (.csv, .jsonl, .parquet) with "
            "the columns path or image_id, and caption.",
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            metavar="FILE",
            help="With --score or --references: score the captions in this table instead of the collection's.",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix",
            metavar="TEXT",
            help="With --score or --references: what stands before captions (default: as in the paper, "
            "'A photo depicts'; '' takes them as they are embedded).",
        ),
    ] = None,
    where: WhereOption = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="SHARE",
            help="Keep only the best share, such as 30% or 0.3 (DataComp's CLIP score filter).",
        ),
    ] = None,
    basic: Annotated[
        bool,
        typer.Option(
            "--basic",
            help="With --keep: also require captions of at least 3 words and 6 characters, and pictures "
            "of at least 200 pixels and at most 3:1.",
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="With --keep: write the images that are kept, as .parquet or .csv (image_id, uid, path, "
            "score), or .txt (paths).",
        ),
    ] = None,
    save: SaveScoresOption = None,
    limit: Annotated[int, options.limit("How many images to show.")] = 10,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """List the images whose captions match their pictures least, the worst first; or keep the best pairs."""
    share = None if keep is None else parse_share(keep)
    if share is None and (basic or export is not None):
        raise UsageError("--basic and --export need --keep", hint="add --keep 30%")
    if (prefix is not None or captions is not None) and not (score or references):
        raise UsageError("--prefix and --captions need --score or --references", hint="add --score")
    if export is not None:
        pairs_file.check(export, force=output.force)
    run = Run.on(collection, as_json=output.as_json, interrupted="interrupted: nothing was kept or stored")
    from imseek import captions as api
    from imseek.ui.cli.score_answers import ScoredCaptions

    if not (score or references or where or keep or save):
        summary = api.summary(run.path, limit=limit)
        output.write(_COLUMNS, map(to_json, summary.worst))
        return run.finish(summary, output.lines(lambda: _agreement_lines(summary)))
    prefix_text = api.PREFIX if prefix is None else prefix
    with run.work() as controls:
        if references is not None:
            scores = api.ref_clip_scores(
                run.path, references, captions=captions, prefix=prefix_text, where=where, notify=say, **controls
            )
        elif score:
            scores = api.clip_scores(
                run.path, captions=captions, prefix=prefix_text, where=where, notify=say, **controls
            )
        else:
            scores = api.cosines(run.path, where=where, notify=say, **controls)
    if scores.interrupted:
        say(run.interrupted)
        return run.exit_code(interrupted=True)
    best = None if share is None else api.keep(run.path, scores, share, basic=basic)
    if export is not None and best is not None:
        pairs_file.write(export, api.pairs(run.path, best), force=output.force)
    if save is not None:
        api.save(run.path, scores, save)
    answer = ScoredCaptions(scores, api.worst(run.path, scores, limit=limit), best, export, save)
    notes = [] if export is None else [f"wrote {printable(str(export))}"]
    if save is not None:
        notes.append(f"stored as the column {save}: imseek search … --where '{save} > …'")
    output.write(_COLUMNS, map(to_json, answer.worst))
    return run.finish(answer, output.lines(lambda: _lines(answer)), notes=notes)


def _lines(answer: ScoredCaptions) -> list[str]:
    scores = answer.scores
    lines = [f"{format_count(len(scores.ids), 'caption')} of {format_count(scores.images, 'image')}"]
    if scores.median is not None:
        lines[0] += f"; median {_MEASURE_NAMES[scores.measure]} {scores.median:.3f} ({scores.encoder})"
    lines += left_out_lines(scores.left_out)
    if (best := answer.kept) is not None:
        lines.append(
            f"kept {len(best.ids):,} of {best.captions:,}: the best {best.share:.4g} ({best.share_kept:,}), "
            f"{_MEASURE_NAMES[scores.measure]} {best.threshold:.3f} and up"
            + (", by the basic filter" if best.basic else "")
        )
    return [*lines, *_worst_lines(answer.worst)]


def _agreement_lines(summary: AgreementSummary) -> list[str]:
    lines = [f"{summary.captions:,} of {format_count(summary.images, 'image')} have a caption"]
    if summary.median is None:
        return lines
    lines[0] += f"; median agreement {summary.median:.3f} (cosine, {summary.encoder})"
    return [*lines, *_worst_lines(summary.worst)]


def _worst_lines(worst: Sequence[Agreement]) -> list[str]:
    rows = [
        (
            f"{row.score:.3f}",
            str(row.image_id),
            shorten(row.caption, _WIDTH),
            format_place(row.place, row.image_id),
        )
        for row in worst
    ]
    return [table(("score", "id", "caption", "image"), rows, right=(0, 1))] if rows else []
