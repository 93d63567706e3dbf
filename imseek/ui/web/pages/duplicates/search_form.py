"""The search form for duplicates, and the progress of a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imseek import duplicates
from imseek.duplicates.results import KIND_FACTS, DuplicateKind, DuplicateReport, KeepRule
from imseek.errors import ImseekError
from imseek.progress import Progress
from imseek.ui.render.duplicates_page import KIND_LABELS, describe_unsure
from imseek.ui.render.words import format_count, format_duration, format_size
from imseek.ui.web import job_costs
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.pages.duplicates.workspace import FindOptions, Workspace
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import escape_markdown, one_line

#: Further explanation of a kind.
_REMARKS: Final[Mapping[DuplicateKind, str]] = {
    "edited": "found with the same pictures; chosen here, they may be cleaned up like these",
    "inside": "takes as long as indexing did, the first time",
}
_STOPPING: Final = "It stops after the current step. What was compared is kept."
#: Seconds after which groups found meanwhile are shown.
_REDRAW_SECONDS: Final = 4.0
RULES: Final[dict[KeepRule, str]] = {
    "best": "the best: most pixels, least compression, most metadata, largest file",
    "largest": "the largest file",
    "oldest": "the one that was taken first",
    "newest": "the one that was taken last",
    "path-priority": "the one in the folder that is preferred",
}


def show_form(workspace: Workspace, others: Sequence[str], images: int) -> None:
    """Draw the form for a collection of ``images``: in the page, or in a menu where there are groups to review.

    ``others`` are the names of other collections.
    """
    current = workspace.options
    busy = workspace.finding is not None
    place = st.container() if workspace.report is None and not busy else st.popover("New search")
    with place, st.form("duplicates-asked", border=False):
        kinds = st.pills(
            "Kinds of duplicates",
            duplicates.KINDS,
            selection_mode="multi",
            default=current.kinds,
            format_func=lambda kind: KIND_LABELS[kind].capitalize(),
            help="; ".join(_describe_kind(kind) for kind in duplicates.KINDS),
        )
        rules = [*RULES]
        keep = st.selectbox(
            "Suggest keeping", rules, index=rules.index(current.keep), format_func=lambda rule: RULES[rule]
        )
        # Open if anything in it is set.
        with st.expander("More", expanded=current != FindOptions(kinds=current.kinds, keep=current.keep)):
            prefer, protect, where, looks, against = _more(current, others)
        is_submitted = st.form_submit_button("Find duplicates", type="primary", disabled=busy)
        st.caption(_cost_line(images))
    if is_submitted:
        new = FindOptions(tuple(kinds), keep, _lines(prefer), _lines(protect), where.strip(), int(looks), against)
        start_search(workspace, new)


def _cost_line(images: int) -> str:
    """Say how long a first search takes, for each kind of duplicates."""
    exact, usual, regions = (
        job_costs.describe(job_costs.comparing_seconds(images, exact=kind == "exact", regions=kind == "inside"))
        for kind in ("exact", "same", "inside")
    )
    return (
        f"The first search of {format_count(images, 'picture')} takes {usual} ({exact} for the same file only, "
        f"{regions} with pictures inside others); later ones only compare what is new."
    )


def _describe_kind(kind: DuplicateKind) -> str:
    remark = f" ({_REMARKS[kind]})" if kind in _REMARKS else ""
    return f"{KIND_LABELS[kind]}: {KIND_FACTS[kind].meaning}{remark}"


def _more(options: FindOptions, others: Sequence[str]) -> tuple[str, str, str, int, str]:
    """Draw the rarely used options: preferred and protected folders, condition, number of pairs, other collection."""
    left, right = st.columns(2)
    prefer = left.text_area(
        "Preferred folders",
        "\n".join(options.prefer),
        height=80,
        help="One per line, most preferred first. Breaks ties between otherwise equal pictures.",
    )
    protect = right.text_area(
        "Protected folders",
        "\n".join(options.protect),
        height=80,
        help="One per line. Files there are never touched, whatever you decide.",
    )
    where = st.text_input(
        "Only pictures where",
        options.where,
        placeholder="year >= 2020 AND folder LIKE '/photos/%'",
        help="A condition on the metadata, in SQL. Leave empty for all pictures.",
    )
    left, right = st.columns(2)
    choices = ["", *others]
    against = left.selectbox(
        "Compare with",
        choices,
        index=choices.index(options.against) if options.against in choices else 0,
        format_func=lambda one: escape_markdown(one) if one else "itself",
        help="Finds pictures of this collection that the other one has too. The other collection is not changed.",
    )
    looks = right.number_input(
        "Maximum number of pairs compared pixel by pixel",
        min_value=0,
        value=options.looks,
        step=10_000,
        help="About 5 ms each. Beyond that, fingerprints decide.",
    )
    return prefer, protect, where, int(looks), against


def start_search(workspace: Workspace, options: FindOptions) -> None:
    """Start a search, and draw the page again."""
    try:
        workspace.find(options)
    except ImseekError as error:
        errors.show_error(error)
        return
    workspace.wait()
    st.rerun()


def take_report(workspace: Workspace) -> None:
    """Take the report if the search has ended. Call it before the form, which waits for the search."""
    if workspace.finding is None or workspace.finding.running:
        return
    try:
        workspace.take()
    except ImseekError as error:
        errors.show_error(error)


def show_search(workspace: Workspace) -> None:
    """Show the progress of the search, if it is running."""
    if workspace.finding is not None:
        st.fragment(_show_search, run_every=0.5)(workspace, workspace.group_count, time.monotonic())


def _show_search(workspace: Workspace, groups_shown: int, since: float) -> None:
    """Draw the page again with the groups found meanwhile: the first ones at once, others every few seconds."""
    _show_task(lambda: workspace.finding, "Finding duplicates", "duplicates-stop", _STOPPING)
    if workspace.group_count:
        st.text(f"{format_count(workspace.group_count, 'group')} so far. You can begin to decide.")
    if workspace.group_count > groups_shown and (not groups_shown or time.monotonic() - since > _REDRAW_SECONDS):
        st.rerun()


def show_summary(workspace: Workspace, report: DuplicateReport, head: DeltaGenerator) -> None:
    """Summarise the report in ``head``, and say below it whether it is outdated."""
    kinds = [group.kind for group in report.groups]
    if kinds:
        by_kind = ", ".join(f"{kinds.count(kind):,} × {KIND_LABELS[kind]}" for kind in KIND_LABELS if kind in kinds)
        counts = f"{format_count(len(kinds), 'group')} among {format_count(report.searched, 'picture')}: {by_kind}"
        head.text(f"{counts}. {format_count(report.surplus, 'picture')} may go, {format_size(report.bytes)}.")
    if unsure := describe_unsure(report, noun="picture"):
        st.text(f"{unsure}.")
    for note in report.notes:
        st.text(one_line(note, 400))
    if report.judged:
        st.text(f"Left out: {format_count(report.judged, 'pair')} that you have called different.")
    if workspace.finding is not None:
        return
    if report.interrupted:
        _again(workspace, "The search was stopped, and there may be more.", "Continue")
    elif workspace.is_outdated:
        _again(
            workspace,
            "The collection has changed since. Files are looked at again before anything is done.",
            "Look again",
        )


def _again(workspace: Workspace, reason: str, label: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"⚠️ {reason}", width="content")
        if st.button(label, key="duplicates-again"):
            start_search(workspace, workspace.options)


def show_task(task_of: Callable[[], BackgroundTask[Any] | None], activity: str, key: str, stopping: str = "") -> None:
    """Show the progress of a task with a stop button of this ``key``; the page is drawn again when it has ended.

    ``stopping`` is shown once the task was asked to stop.
    """
    st.fragment(_show_task, run_every=0.5)(task_of, activity, key, stopping)


def _show_task(task_of: Callable[[], BackgroundTask[Any] | None], activity: str, key: str, stopping: str) -> None:
    task = task_of()
    if task is None or not task.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        progress_bar(task.progress, activity)
        if st.button("Stop", disabled=task.stopping, key=key):
            task.stop()
    if task.stopping and stopping:
        st.text(stopping)


def progress_bar(progress: Progress | None, activity: str) -> None:
    """Draw a progress bar. The name of the phase is imseek's own, so it is trusted."""
    if progress is None:
        st.progress(0, text=f"{activity} …")
        return
    share = progress.done / progress.total if progress.total else 0.0
    total = f" of {progress.total:,}" if progress.total else ""
    line = f"{progress.phase.capitalize()}: {progress.done:,}{total}"
    if progress.total and progress.seconds > 5 and 0 < share < 1:
        line += f", about {format_duration(progress.seconds * (1 - share) / share)} more"
    st.progress(min(1.0, share), text=line)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())
