"""``imseek tune``: learn an adapter for a collection, and use it if it helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imseek.errors import UsageError
from imseek.tune.results import RerankerReport, Retrieval, TuneReport, Tuning
from imseek.types.json_form import Json
from imseek.types.maintenance_reports import ReencodeReport
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.render.text import format_interval, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek import Runtime


@dataclass(frozen=True, slots=True)
class TuneAnswer:
    """What was learned, or which space is searched from now on."""

    tune: TuneReport | None
    """Null with ``--back`` and ``--use``."""
    switch: ReencodeReport | None
    """What ``--back`` or ``--use`` did."""
    reranker: Annotated[RerankerReport | None, Json(omit_none=True)] = None
    """Only with ``--reranker``."""


app = Group()


@app.command(
    "imseek tune --dry-run",
    "imseek tune --from captions --name holiday",
    "imseek tune --back",
    "imseek tune --reranker",
    "imseek tune --use holiday",
)
@with_runtime("device", "threads")
def tune(
    run: Run,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="What to learn from: captions, tags or judgements (default: the first of these that the "
            "collection has).",
        ),
    ] = None,
    loss: Annotated[
        str,
        rare(
            "--loss",
            metavar="LOSS",
            help="The loss function: infonce (as in CLIP) or sigmoid (as in SigLIP).",
        ),
    ] = "infonce",
    name: Annotated[str, options.name("The name of the adapter.")] = "tuned",
    seed: Annotated[int, options.seed("Random seed of the split and of the initial weights.")] = 0,
    dry_run: Annotated[bool, options.dry_run("Learn and measure only, without changing anything.")] = False,
    back: Annotated[
        bool,
        typer.Option("--back", help="Stop using the adapter: search in the encoder's own vectors again."),
    ] = False,
    use: Annotated[
        str | None,
        typer.Option("--use", metavar="NAME", help="Use an adapter that was learned before."),
    ] = None,
    reranker: Annotated[
        bool,
        typer.Option(
            "--reranker",
            help="Learn from captions to compare parts of pictures with words, in place of an adapter, for "
            "`search --rerank tokens`.",
        ),
    ] = False,
    allow_missing: Annotated[
        bool, options.allow_missing("With --back: go on even if some pictures cannot be read now.")
    ] = False,
    *,
    runtime: Runtime,
) -> int:
    """Learn a small adapter of the vectors from captions, tags or judgements. It is used only if it helps. With
    --reranker, learn a model that orders hits anew."""
    if back and use is not None:
        raise UsageError("--back and --use exclude each other")
    if (back or use is not None) and (source is not None or dry_run):
        raise UsageError("--from and --dry-run go with learning, not with --back or --use")
    if reranker and (back or use is not None or source not in (None, "captions") or loss != "infonce"):
        raise UsageError("--reranker learns from captions, its own way: without --from, --loss, --back and --use")
    if reranker and name != "tuned":
        raise UsageError("a collection has one reranker of its own, which needs no --name")
    if allow_missing and not back:
        raise UsageError("--allow-missing goes with --back")
    if back or use is not None:
        switched = _switch(run, use, allow_missing, runtime)
        run.finish(TuneAnswer(None, switched), lambda: _switch_lines(switched))
        outcome: str = switched.outcome
    elif reranker:
        learned = _train_reranker(run, seed, dry_run, runtime)
        run.finish(TuneAnswer(None, None, learned), lambda: reranker_lines(learned))
        outcome = learned.outcome
    else:
        tuned = _tune(run, source, loss, name, seed, dry_run, runtime)
        run.finish(TuneAnswer(tuned, None), lambda: tune_lines(tuned))
        outcome = tuned.outcome
    # A dry run is for the answer, whichever it is.
    return 1 if outcome == "refused" and not dry_run else run.exit_code(outcome == "interrupted")


def _tune(run: Run, source: Any, loss: Any, name: str, seed: int, dry_run: bool, runtime: Runtime) -> TuneReport:
    from imseek import tune as tuning

    with run.work() as controls:
        return tuning.tune(
            run.path,
            source=source,
            loss=loss,
            name=name,
            seed=seed,
            dry_run=dry_run,
            runtime=runtime,
            notify=say,
            **controls,
        )


def _train_reranker(run: Run, seed: int, dry_run: bool, runtime: Runtime) -> RerankerReport:
    from imseek import tune as tuning

    with run.work() as controls:
        return tuning.train_reranker(run.path, seed=seed, dry_run=dry_run, runtime=runtime, notify=say, **controls)


def _switch(run: Run, use: str | None, allow_missing: bool, runtime: Runtime) -> ReencodeReport:
    from imseek import tune as tuning

    with run.work() as controls:
        if use is not None:
            return tuning.use(run.path, use, **controls)
        return tuning.back(run.path, allow_missing=allow_missing, runtime=runtime, notify=say, **controls)


def _part_line(report: TuneReport | RerankerReport, source: str) -> str:
    parts = f"{report.train:,} to learn, {report.validation:,} to stop by, {report.held_out:,} held out to judge"
    return f"{format_count(report.pairs, 'pair')} from {source}: {parts}"


def reranker_lines(report: RerankerReport) -> list[str]:
    """Format a report about a reranker for the user."""
    lines = [_part_line(report, "captions")]
    if report.unread:
        lines.append(f"{format_count(report.unread, 'picture')} could not be read, and are passed over")
    if (gained := report.gained) is not None:
        task = f"text to image, {gained.before.questions:,} in {gained.before.items:,}"
        rows = [_retrieval_row(task, "before", gained.before), _retrieval_row("", "after", gained.after)]
        lines += [
            _retrieval_table(rows, "1 / rank"),
            f"R@1 {format_interval(gained.r1, '+.3f')}, 1 / rank {format_interval(gained.gain, '+.3f')} (99 %)",
        ]
    size = f"{report.bytes_each / 1e3:,.0f} kB a picture, {report.bytes_each * report.images / 1e6:,.1f} MB in all"
    lines.append(
        {
            "stored": f"stored: `imseek maintain --tokens` makes tokens of pictures now ({size}), and "
            "`imseek search --rerank tokens` uses them",
            "refused": "refused: on held-out captions it does not help beyond chance, so nothing was changed",
            "tried": f"it helps; nothing was changed (--dry-run). Tokens would take {size}",
            "interrupted": "interrupted: nothing was changed",
        }[report.outcome]
    )
    return [*lines, *map(printable, report.notes)]


def tune_lines(report: TuneReport) -> list[str]:
    """Format a tuning report for the user."""
    lines = [_part_line(report, report.source)]
    if report.taught is not None:
        lines += _gain_lines(report.taught)
    again = "imseek tune --back"
    lines.append(
        {
            "switched": f"now searched by {printable(f'{report.encoder} behind the adapter {report.name}')} (space "
            f"{report.space_id}); space {report.replaced} is kept (`{again}`)",
            "refused": "refused: on the held-out pictures it does not help beyond chance, so nothing was changed",
            "tried": "it helps; nothing was changed (--dry-run)",
            "interrupted": "interrupted: nothing was changed",
        }[report.outcome]
    )
    return [*lines, *map(printable, report.notes)]


def _gain_lines(tuning: Tuning) -> list[str]:
    rows = []
    for gain in tuning.gains:
        for when, retrieval in (("before", gain.before), ("after", gain.after)):
            task = f"{gain.direction}, {retrieval.questions:,} in {retrieval.items:,}" if when == "before" else ""
            rows.append(_retrieval_row(task, when, retrieval))
    lines = [_retrieval_table(rows, "precision")]
    lines += [
        f"{gain.direction}: R@1 {format_interval(gain.r1, '+.3f')}, "
        f"average precision {format_interval(gain.precision, '+.3f')}"
        for gain in tuning.gains
    ]
    return [*lines, f"average precision over all: {format_interval(tuning.gain, '+.3f')} (99 %)"]


def _retrieval_row(task: str, when: str, retrieval: Retrieval) -> tuple[str, ...]:
    shares = (f"{value:.3f}" for value in (retrieval.r1, retrieval.r5, retrieval.r10))
    return (task, when, *shares, f"{retrieval.precision:.3f}", f"{retrieval.median_rank:g}")


def _retrieval_table(rows: Sequence[tuple[str, ...]], precision: str) -> str:
    return table(("held out", "", "R@1", "R@5", "R@10", precision, "median rank"), rows, right=(2, 3, 4, 5))


def _switch_lines(report: ReencodeReport) -> list[str]:
    from imseek.ui.cli.maintain import reencode_lines

    return reencode_lines(report)
