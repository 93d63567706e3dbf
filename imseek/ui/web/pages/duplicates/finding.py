"""The search form for duplicates, and the progress of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import streamlit as st

from imseek import duplicates
from imseek.errors import ImseekError
from imseek.showing.words import count, duration, size
from imseek.types import DuplicateKind, DuplicateReport, KeepRule, Progress
from imseek.ui.duplicates_page import WORDS
from imseek.ui.web import shell
from imseek.ui.web.background import Task
from imseek.ui.web.pages.duplicates.desk import Asked, Desk
from imseek.ui.web.plain import markdown_free, one_line

_HELP: Final[dict[DuplicateKind, str]] = {
    "exact": "the same bytes",
    "same": "saved again, resized, recoloured, turned, slightly cropped",
    "inside": "a strong crop, a screenshot; takes as long as indexing did, the first time",
    "scene": "another shot of it, such as of a burst",
}
_STOPPING: Final = "It stops after what it is at. What was compared is kept."
RULES: Final[dict[KeepRule, str]] = {
    "best": "the best: most pixels, then most metadata, then the largest file",
    "largest": "the largest file",
    "oldest": "the one that was taken first",
    "newest": "the one that was taken last",
    "path-priority": "the one in the folder that is preferred",
}


def ask(of: Desk, others: Sequence[str]) -> None:
    """Draw the form. ``others`` are the names of other collections."""
    asked = of.asked
    busy = of.finding is not None
    said = ", ".join(WORDS[kind] for kind in asked.kinds)
    with (
        st.expander(f"Look for {said}", expanded=of.report is None and not busy),
        st.form("duplicates-asked", border=False),
    ):
        kinds = st.pills(
            "What counts as duplicates",
            duplicates.KINDS,
            selection_mode="multi",
            default=asked.kinds,
            format_func=lambda kind: WORDS[kind].capitalize(),
            help="; ".join(f"{WORDS[kind]}: {text}" for kind, text in _HELP.items()),
        )
        rules = [*RULES]
        keep = st.selectbox(
            "Suggest to keep", rules, index=rules.index(asked.keep), format_func=lambda rule: RULES[rule]
        )
        # Open if anything in it is set.
        with st.expander("More", expanded=asked != Asked(kinds=asked.kinds, keep=asked.keep)):
            prefer, protect, where, looks, against = _more(asked, others)
        sent = st.form_submit_button("Find duplicates", type="primary", disabled=busy)
    if sent:
        new = Asked(tuple(kinds), keep, _lines(prefer), _lines(protect), where.strip(), int(looks), against)
        begin(of, new)


def _more(asked: Asked, others: Sequence[str]) -> tuple[str, str, str, int, str]:
    """Draw the rarely used options: preferred and protected folders, condition, number of pairs, other collection."""
    left, right = st.columns(2)
    prefer = left.text_area(
        "Preferred folders",
        "\n".join(asked.prefer),
        height=80,
        help="One a line, the most preferred first: decides between pictures that the rule finds equal.",
    )
    protect = right.text_area(
        "Protected folders",
        "\n".join(asked.protect),
        height=80,
        help="One a line: what lies there stays, whatever is decided.",
    )
    where = st.text_input(
        "Only pictures where",
        asked.where,
        placeholder="year >= 2020 AND folder LIKE '/photos/%'",
        help="A condition over the metadata, as WHERE of SQL. Empty: all pictures.",
    )
    left, right = st.columns(2)
    choices = ["", *others]
    against = left.selectbox(
        "Compare with",
        choices,
        index=choices.index(asked.against) if asked.against in choices else 0,
        format_func=lambda one: markdown_free(one) if one else "itself",
        help="Another collection: what it has of this one. Its pictures stay, and nothing of it is touched.",
    )
    looks = right.number_input(
        "Compare the pixels of so many pairs at most",
        min_value=0,
        value=asked.looks,
        step=10_000,
        help="About 10 ms each. Of what is beyond, fingerprints decide.",
    )
    return prefer, protect, where, int(looks), against


def begin(of: Desk, asked: Asked) -> None:
    """Start a search, and draw the page again."""
    try:
        of.find(asked)
    except ImseekError as error:
        shell.refused(error)
        return
    of.wait()
    st.rerun()


def watch(of: Desk) -> None:
    """Take the report if the search has ended; otherwise show its progress."""
    task = of.finding
    if task is None:
        return
    if task.running:
        under_way(lambda: of.finding, "Looking for duplicates", "duplicates-stop", _STOPPING)
        return
    try:
        of.take()
    except ImseekError as error:
        shell.refused(error)


def told(of: Desk, report: DuplicateReport) -> None:
    """Summarise the report, and say whether it is outdated."""
    kinds = [group.kind for group in report.groups]
    if kinds:
        by_kind = ", ".join(f"{kinds.count(kind):,} × {WORDS[kind]}" for kind in WORDS if kind in kinds)
        found = f"{count(len(kinds), 'group')} among {count(report.searched, 'picture')}: {by_kind}"
        st.text(
            f"{found}. Beside the suggested ones: {count(report.surplus, 'picture')}, {size(report.bytes)}."
        )
    for note in report.notes:
        st.text(one_line(note, 400))
    if report.judged:
        st.text(f"Left out: {count(report.judged, 'pair')} that you have called different.")
    if of.finding is not None:
        return
    if report.interrupted:
        _again(of, "The search was stopped, and there may be more.", "Go on")
    elif of.outdated:
        _again(
            of,
            "The collection has changed since. Files are looked at again before anything is done.",
            "Look again",
        )


def _again(of: Desk, said: str, label: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"⚠️ {said}", width="content")
        if st.button(label, key="duplicates-again"):
            begin(of, of.asked)


def under_way(task_of: Callable[[], Task[Any] | None], doing: str, key: str, stopping: str = "") -> None:
    """Show the progress of a task with a stop button of this ``key``; the page is drawn again when it has ended.

    ``stopping`` is shown once the task was asked to stop.
    """
    st.fragment(_under_way, run_every=0.5)(task_of, doing, key, stopping)


def _under_way(task_of: Callable[[], Task[Any] | None], doing: str, key: str, stopping: str) -> None:
    task = task_of()
    if task is None or not task.running:
        st.rerun()
    with st.container(border=True):
        bar(task.progress, doing)
        if st.button("Stop", disabled=task.stopping, key=key):
            task.stop()
        if task.stopping and stopping:
            st.text(stopping)


def bar(progress: Progress | None, doing: str) -> None:
    """Draw a progress bar. The name of the phase is imseek's own, so it is trusted."""
    if progress is None:
        st.progress(0, text=f"{doing} …")
        return
    share = progress.done / progress.total if progress.total else 0.0
    of = f" of {progress.total:,}" if progress.total else ""
    said = f"{progress.phase.capitalize()}: {progress.done:,}{of}"
    if progress.total and progress.seconds > 5 and 0 < share < 1:
        said += f", about {duration(progress.seconds * (1 - share) / share)} more"
    st.progress(min(1.0, share), text=said)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())
