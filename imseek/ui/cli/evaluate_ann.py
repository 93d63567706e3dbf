"""``imseek evaluate ann``: measure the recall and the speed of an approximate index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.evaluate_shared import parse_space
from imseek.ui.cli.output import say
from imseek.ui.cli.quantities import parse_share
from imseek.ui.render.text import format_interval, table
from imseek.ui.render.words import format_count

if TYPE_CHECKING:
    from imseek.evaluate.results import NeighbourReport


app = Group()


@app.command(
    "imseek evaluate ann",
    "imseek evaluate ann --query-file queries.txt --k 10 --k 100",
    "imseek evaluate ann --filtered 5% --json",
)
def ann(
    run: Run,
    queries: Annotated[
        int,
        typer.Option(
            "--queries",
            metavar="N",
            min=1,
            help="Search with this many stored vectors, and as many text-like ones.",
        ),
    ] = 200,
    query_file: Annotated[
        Path | None,
        typer.Option(
            "--query-file",
            metavar="FILE",
            help="Search with these queries instead: one text per line, or a .npy file of vectors (n, dim).",
        ),
    ] = None,
    kind: Annotated[
        Literal["text", "image"],
        typer.Option("--kind", help="With --query-file and a .npy file: what kind of query the vectors are."),
    ] = "text",
    k: Annotated[
        list[int] | None,
        typer.Option("--k", metavar="K", help="A K for recall@K; may be repeated (default: 10)."),
    ] = None,
    filtered: Annotated[
        str | None,
        typer.Option(
            "--filtered",
            metavar="SHARE",
            help="Also apply a random filter that lets this share of images through, such as 5%.",
        ),
    ] = None,
    space: Annotated[str | None, options.space("The vector space (default: the first).")] = None,
    given: Annotated[
        Path | None, typer.Option("--given", hidden=True, help="Earlier spelling of `--query-file`.")
    ] = None,
) -> int:
    """Compare the approximate index with exact search: recall and time, for pictures and for words."""
    from imseek import evaluate

    share = None if filtered is None else parse_share(filtered)
    run.interrupted = "interrupted: not all was measured"
    with run.work() as controls:
        report = evaluate.ann(
            run.path,
            space=parse_space(space),
            queries=queries,
            ks=k or (10,),
            filtered=share,
            own_queries=query_file or given,
            query_kind=kind,
            notify=say,
            **controls,
        )
    notes = [f"note: {note}" for note in report.notes]
    return run.finish(report, lambda: _lines(report), notes=notes, interrupted=report.interrupted)


def _lines(report: NeighbourReport) -> list[str]:
    behind = "" if report.filtered is None else f", {report.filtered:.4g} of them by a filter"
    lines = [f"{report.index or 'exact'} over {format_count(report.images, 'image')}{behind} ({report.encoder})"]
    if report.kinds:
        ks = list(report.kinds[0].recall)
        head = ("queries", "", *(f"recall@{k}" for k in ks), "stated@10", "median", "p99", "CPU", "exact")
        rows = [
            (
                f"{one.queries:,} {one.kind}",
                one.came,
                *(format_interval(one.recall[k]) for k in ks),
                "" if one.stated is None else f"{one.stated:.3f}",
                *(f"{ms:.1f} ms" for ms in (one.median_ms, one.p99_ms, one.cpu_ms, one.exact_ms)),
            )
            for one in report.kinds
        ]
        lines.append(table(head, rows))
    return lines
