"""The list of actions on files, and undoing them."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek import duplicates
from imseek.errors import ImseekError
from imseek.showing.words import count, size
from imseek.types import UndoInfo, UndoReport, display_path
from imseek.ui.web import shell
from imseek.ui.web.pages.duplicates import finding
from imseek.ui.web.pages.duplicates.desk import Desk
from imseek.ui.web.plain import one_line

_STATES: Final = {
    "done": "done",
    "unfinished": "cut short: some files may not have been reached",
    "undone": "brought back",
    "partly": "brought back in part: some files could not be",
}
#: Descriptions of what was done to files.
DONE: Final = {
    "trash": "moved to the trash",
    "quarantine": "moved to quarantine",
    "tag": "tagged",
    "hard-link": "replaced by hard links",
    "reflink": "sharing blocks",
}


def show(of: Desk) -> None:
    """Draw the list."""
    _working(of)
    with shell.told():
        known = duplicates.undoable(of.root)
    if not known:
        st.text(
            "Nothing was done to any file yet. What “Clear up” does is listed here, and can be brought back."
        )
    for info in known:
        _entry(of, info)


def done(info: UndoInfo) -> str:
    """Describe what was done."""
    said = [f"{count(n, 'file')} {DONE.get(action, action)}" for action, n in info.actions.items()]
    return ", ".join(said) or "nothing"


def _entry(of: Desk, info: UndoInfo) -> None:
    with st.container(border=True):
        st.text(f"{info.created.replace('T', ' ')[:19]} UTC · {done(info)} · {size(info.bytes)}")
        st.text(_STATES.get(info.state, info.state).capitalize())
        for note in info.notes:
            st.text(one_line(note, 400))
        if info.state != "undone" and st.button(
            "Bring back …", key=f"duplicates-undo-{info.undo_id}", disabled=of.at_work
        ):
            confirm(of, info.undo_id)


@st.dialog("Bring back?")
def confirm(of: Desk, undo_id: str) -> None:
    """Say what comes back, and start to bring it back."""
    info = next((one for one in duplicates.undoable(of.root) if one.undo_id == undo_id), None)
    if info is None:
        st.text("It is not on record any more.")
        return
    files = count(sum(info.actions.values()), "file")
    st.text(
        f"{files}, {size(info.bytes)}: {done(info)}. All come back as they were, and their pictures with their tags. "
        "A place that another file has taken meanwhile is not written over."
    )
    with st.container(horizontal=True):
        if st.button(f"Bring back {files}", type="primary", key="duplicates-undo-yes", disabled=of.at_work):
            of.undo(undo_id)
            of.applying = None
            st.rerun()
        if st.button("Cancel", key="duplicates-undo-no"):
            st.rerun()


def _working(of: Desk) -> None:
    task = of.recalling
    if task is None:
        return
    if task.running:
        doing = "Waiting for the collection, then bringing files back"
        finding.under_way(lambda: of.recalling, doing, "duplicates-undo-stop")
        return
    with st.container(border=True):
        try:
            report = task.result()
        except ImseekError as error:
            of.recalling = None
            shell.refused(error)
            return
        _result(of, report)


def _result(of: Desk, report: UndoReport) -> None:
    for line in result_lines(report):
        st.text(line)
    left = [file for file in report.files if file.outcome == "left"]
    if left:
        st.dataframe(
            [{"file": display_path(file.path), "reason": one_line(file.reason, 400)} for file in left],
            hide_index=True,
            alt=f"{len(left)} files that could not be brought back",
        )
    if st.button("Close", key="duplicates-undone-close"):
        of.recalling = None
        st.rerun()


def result_lines(report: UndoReport) -> list[str]:
    """Describe what came back."""
    counts = report.counts
    lines = [f"✓ {count(counts.get('done', 0), 'file')} brought back."] if counts.get("done") else []
    if already := counts.get("already", 0):
        lines.append(f"{already:,} were there already.")
    if left := counts.get("left", 0):
        lines.append(f"⚠️ {count(left, 'file')} could not be brought back. Once that is mended, try again:")
    if report.interrupted:
        lines.append("It was stopped. What was brought back stays.")
    lines += [one_line(note, 400) for note in report.notes]
    return lines or ["There was nothing to bring back."]
