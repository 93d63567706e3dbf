"""``imseek jobs``: list the runs of a collection with their progress, and stop one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.jobs import Job

app = Group("List the runs of a collection, and stop one.", "imseek jobs", "imseek jobs cancel 12", default="list")

_COLUMNS: Final = ("job_id", "state", "exit_code", "pid", "host", "started", "ended", "progress", "kind")
LimitOption = Annotated[int, options.limit("Show at most this many runs.", min=1)]
_LIMIT = 20
#: Kinds of runs whose progress is in files.
_OF_FILES = ("index", "watch")


@app.command("imseek jobs list", "imseek jobs list --limit 100 --json", name="list")
@with_groups(output=LIST_FLAGS)
def list_(limit: LimitOption = _LIMIT, collection: CollectionOption = None, *, output: ListFlags) -> int:
    """List the runs of a collection, the newest first: in the background, in a terminal, or finished."""
    import imseek.jobs
    from imseek.ui.cli.job_answers import JobList

    run = Run.on(collection, as_json=output.as_json)
    every = imseek.jobs.list(run.path, limit=limit)
    output.write(_COLUMNS, ({**to_json(job), "progress": _progress(job)} for job in every))
    notes = [] if every else ["nothing has been run on this collection yet"]
    return run.finish(JobList(every), output.lines(lambda: [_table(every)] if every else []), notes=notes)


@app.command("imseek jobs cancel 12")
def cancel(
    run: Run,
    job_id: Annotated[int, typer.Argument(metavar="ID", help="The number of the run in `imseek jobs`.")],
) -> int:
    """Stop a run, as Ctrl-C would: `index` and `watch` first commit the work in progress."""
    import imseek.jobs
    from imseek.ui.cli.job_answers import JobAnswer

    job = imseek.jobs.cancel(run.path, job_id)
    line = f"job {job.run_id} ({job.kind}, process {job.pid}) was asked to stop"
    return run.finish(JobAnswer(job), lambda: [line])


def started_lines(job: Job) -> list[str]:
    """Format a job that has just been started for the user."""
    lines = [
        f"job {job.run_id} ({job.kind}) runs in the background, process {job.pid}",
        "progress: imseek jobs",
    ]
    if job.log is not None:
        lines.append(f"what it says: tail -f {printable(str(job.log))}")
    return [*lines, f"stop it: imseek jobs cancel {job.run_id}"]


def _table(jobs: tuple[Job, ...]) -> str:
    head = ("job", "state", "exit", "process", "started", "ended", "progress", "command")
    rows = [
        (
            str(job.run_id),
            job.state,
            "" if job.exit_code is None else str(job.exit_code),
            str(job.pid),
            job.started,
            job.ended or "",
            _progress(job),
            printable(job.kind),
        )
        for job in jobs
    ]
    return table(head, rows, right=(0, 2, 3))


def _progress(job: Job) -> str:
    """Format progress as ``12 of 40 files, 1 skipped``, or as the phase of a run that counts nothing.

    Only runs that index count files; others count images, pairs, rows or whatever the phase says.
    """
    count, total, skipped = (job.progress.get(name) for name in ("done", "total", "skipped"))
    if not isinstance(count, int):
        return ""
    if not isinstance(total, int):
        # The last phase of a finished run says nothing about how far it got.
        return str(job.progress.get("phase", "")) if job.ended is None else ""
    if not total:
        text = "nothing new" if job.kind in _OF_FILES else ""
    elif job.kind in _OF_FILES:
        text = f"{count:,} of {format_count(total, 'file')}"
    else:
        text = f"{printable(str(job.progress.get('phase', '')))} {count:,} of {total:,}".strip()
    return f"{text}, {skipped:,} skipped" if skipped else text
