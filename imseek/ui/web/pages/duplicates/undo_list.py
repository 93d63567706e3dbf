"""The list of actions on files, and undoing them."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek import duplicates
from imseek.duplicates.action_results import UndoInfo, UndoReport
from imseek.errors import ImseekError
from imseek.types.pictures import display_path
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web.pages.duplicates import search_form
from imseek.ui.web.pages.duplicates.workspace import Workspace
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import local_time, one_line

_STATES: Final = {
    "done": "done",
    "unfinished": "cut short: some files may not have been reached",
    "undone": "brought back",
    "partly": "brought back in part: some files could not be",
}
#: Descriptions of what was done to files.
ACTION_WORDS: Final = {
    "trash": "moved to the trash",
    "quarantine": "moved to quarantine",
    "tag": "tagged",
    "hard-link": "replaced by hard links",
    "reflink": "sharing blocks",
}


def show(workspace: Workspace) -> None:
    """Draw the list."""
    _show_undo(workspace)
    with errors.show_errors():
        entries = duplicates.undoable(workspace.root)
    if not entries:
        st.text("No files have been changed yet. What “Clean up” does is listed here, and can be undone.")
    for info in entries:
        _entry(workspace, info)


def describe_done(info: UndoInfo) -> str:
    """Describe what was done."""
    parts = [f"{format_count(n, 'file')} {ACTION_WORDS.get(action, action)}" for action, n in info.actions.items()]
    return ", ".join(parts) or "nothing"


def _entry(workspace: Workspace, info: UndoInfo) -> None:
    with st.container(border=True):
        st.text(f"{local_time(info.created)} · {describe_done(info)} · {format_size(info.bytes)}")
        st.text(_STATES.get(info.state, info.state).capitalize())
        for note in info.notes:
            st.text(one_line(note, 400))
        if info.state != "undone" and st.button(
            "Restore…", key=f"duplicates-undo-{info.undo_id}", disabled=workspace.is_moving_files
        ):
            confirm(workspace, info.undo_id)


@st.dialog("Restore files?")
def confirm(workspace: Workspace, undo_id: str) -> None:
    """Say what comes back, and start to bring it back."""
    info = next((one for one in duplicates.undoable(workspace.root) if one.undo_id == undo_id), None)
    if info is None:
        st.text("This record no longer exists.")
        return
    files = format_count(sum(info.actions.values()), "file")
    st.text(
        f"{files}, {format_size(info.bytes)}: {describe_done(info)}. All come back as they were, and "
        "their pictures with their tags. "
        "A place that another file has taken meanwhile is not written over."
    )
    with st.container(horizontal=True):
        if st.button(f"Restore {files}", type="primary", key="duplicates-undo-yes", disabled=workspace.is_moving_files):
            workspace.undo(undo_id)
            workspace.applying = None
            st.rerun()
        if st.button("Cancel", key="duplicates-undo-no"):
            st.rerun()


def _show_undo(workspace: Workspace) -> None:
    task = workspace.recalling
    if task is None:
        return
    if task.running:
        activity = "Waiting for the collection, then restoring files"
        search_form.show_task(lambda: workspace.recalling, activity, "duplicates-undo-stop")
        return
    with st.container(border=True):
        try:
            report = task.result()
        except ImseekError as error:
            workspace.recalling = None
            errors.show_error(error)
            return
        _result(workspace, report)


def _result(workspace: Workspace, report: UndoReport) -> None:
    for line in result_lines(report):
        st.text(line)
    left = [file for file in report.files if file.outcome == "left"]
    if left:
        st.dataframe(
            [{"file": display_path(file.path), "reason": one_line(file.reason, 400)} for file in left],
            hide_index=True,
            alt=f"{len(left)} files that could not be restored",
        )
    if st.button("Close", key="duplicates-undone-close"):
        workspace.recalling = None
        st.rerun()


def result_lines(report: UndoReport) -> list[str]:
    """Describe what came back."""
    counts = report.counts
    lines = [f"✓ {format_count(counts.get('done', 0), 'file')} restored."] if counts.get("done") else []
    if already := counts.get("already", 0):
        lines.append(f"{already:,} were there already.")
    if left := counts.get("left", 0):
        lines.append(f"⚠️ {format_count(left, 'file')} could not be restored. Once that is mended, try again:")
    if report.interrupted:
        lines.append("Stopped. What was restored stays.")
    lines += [one_line(note, 400) for note in report.notes]
    return lines or ["There was nothing to restore."]
