"""Apply decisions to files: preview, confirmation with numbers, and results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import streamlit as st

from imseek import duplicates
from imseek.duplicates import Plan
from imseek.duplicates.action_results import Action, AppliedFile, ApplyReport
from imseek.duplicates.results import KIND_FACTS, DuplicateKind, DuplicateReport
from imseek.errors import ImseekError
from imseek.types.pictures import display_path
from imseek.ui.render.duplicates_page import KIND_LABELS, describe_confidences
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web.pages.duplicates import search_form, undo_list
from imseek.ui.web.pages.duplicates.decisions import tally
from imseek.ui.web.pages.duplicates.workspace import Workspace
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import one_line

ACTIONS: Final[Mapping[Action, str]] = {
    "trash": "Move to the desktop trash",
    "quarantine": "Move to a quarantine folder, which is never indexed",
    "tag": "Only tag them; files are not touched",
    "hard-link": "Replace with a hard link to the kept file (identical files only)",
    "reflink": "Share disk blocks with the kept file (identical files only)",
}
#: Labels of the buttons, by action, for a number of files.
_ACTION_BUTTONS: Final[Mapping[str, str]] = {
    "trash": "Move {} to the trash",
    "quarantine": "Move {} to quarantine",
    "tag": "Tag {}",
    "hard-link": "Replace {} by hard links",
    "reflink": "Share the blocks of {}",
}
#: Maximum number of rows of a list of files.
_ROWS: Final = 1_000


def show(workspace: Workspace, report: DuplicateReport) -> None:
    """Draw the view."""
    if workspace.is_moving_files:
        if workspace.applying is None or not workspace.applying.running:
            st.text("Files are being restored: see “Restore”.")
        return
    progress = tally(report, workspace.decisions.states)
    kinds = _choose_suggested_kinds(report, progress.left)
    action = st.selectbox(
        "What to do with the surplus pictures", [*ACTIONS], format_func=lambda one: ACTIONS[one],
        key="duplicates-action",
    )  # fmt: skip
    to = tag = ""
    if action == "quarantine":
        to = st.text_input(
            "Folder",
            placeholder="by itself: one on the same file system as the pictures",
            key="duplicates-to",
        )
    if action == "tag":
        tag = st.text_input("Tag", duplicates.TAG, key="duplicates-tag")
    try:
        plan = workspace.plan(report, kinds, action, to.strip() or None, tag if action == "tag" else duplicates.TAG)
    except ImseekError as error:
        errors.show_error(error)
        return
    _summary(workspace, plan)


def _choose_suggested_kinds(report: DuplicateReport, left: int) -> tuple[DuplicateKind, ...]:
    """Return the kinds of undecided groups for which to take the suggestion."""
    present = {group.kind for group in report.groups}
    kinds = [kind for kind in duplicates.KINDS if kind in present and KIND_FACTS[kind].removal != "never"]
    if not left or not kinds:
        return ()
    return tuple(
        st.pills(
            f"{format_count(left, 'group')} not decided: use the suggestions for them",
            kinds,
            selection_mode="multi",
            format_func=lambda kind: KIND_LABELS[kind],
            key="duplicates-suggested",
            help="Nothing chosen: only what you have decided. What you have put off is left alone in any case.",
        )
    )


def _summary(workspace: Workspace, plan: Plan) -> None:
    files = format_count(len(plan.files), "file")
    if not plan.files:
        st.text(
            "Nothing to do yet. Decide about groups under One by one, or take suggestions above."
            if not plan.refused
            else "Nothing can be done to any of these files in this way."
        )
        _show_refused(plan)
        return
    st.text(f"{files} in {format_count(len(plan.groups), 'group')}, {format_size(plan.bytes)}.")
    if confidence := _sure_of(plan):
        st.text(confidence)
    with st.container(horizontal=True):
        if st.button(f"{_ACTION_BUTTONS[plan.action].format(files)} …", type="primary", key="duplicates-apply"):
            _confirm(workspace, plan)
        if st.button("Preview", key="duplicates-check"):
            workspace.check(plan)
        st.download_button(
            "Save the plan",
            lambda: json.dumps(plan.to_json(), indent=1),
            "plan.json",
            "application/json",
            on_click="ignore",
            help="For `imseek duplicates apply`: it can be read and edited before.",
            key="duplicates-plan",
        )
    if workspace.checking is not None and workspace.planned is not None and workspace.planned.digest == plan.digest:
        _show_check(workspace)
    else:
        table(
            {
                "": _ACTION_BUTTONS[plan.action].format("").strip().lower().replace("  ", " "),
                "file": display_path(file.path),
                "stays": display_path(group.keeper.path),
                "size": format_size(file.bytes),
            }
            for group in plan.groups
            for file in group.files
        )
    _show_refused(plan)


def _show_refused(plan: Plan) -> None:
    if not plan.refused:
        return
    with st.expander(f"{format_count(len(plan.refused), 'picture')} left out, with reasons"):
        table(
            {
                "reason": one_line(file.reason, 400),
                "file": display_path(file.path) or f"image {file.image_id}",
            }
            for file in plan.refused
        )


def _show_check(workspace: Workspace) -> None:
    task = workspace.checking
    if task is None:
        return
    if task.running:
        st.fragment(_show_check_progress, run_every=0.5)(workspace)
        return
    try:
        report = task.result()
    except ImseekError as error:
        errors.show_error(error)
        return
    would = sum(file.outcome == "would" for file in report.files)
    summary = f"All were read again: {format_count(would, 'file')} as expected"
    if left := report.counts.get("left", 0):
        summary += f", {left:,} would be left alone"
    if already := report.counts.get("already", 0):
        summary += f", {already:,} as it should be already"
    st.text(f"{summary}.")
    _show_files(report.files)


def _show_check_progress(workspace: Workspace) -> None:
    task = workspace.checking  # Another tab may replace it.
    if task is None or not task.running:
        st.rerun()
    search_form.progress_bar(task.progress, "Reading files")


def confirmation(plan: Plan) -> str:
    """Return the question asked before anything is done, with its numbers."""
    files, keepers = format_count(len(plan.files), "file"), format_count(len(plan.groups), "picture")
    question = {
        "trash": f"{files}, {format_size(plan.bytes)}, will be moved to the trash.",
        "quarantine": f"{files}, {format_size(plan.bytes)}, will be moved to "
        + ("a quarantine folder." if plan.to is None else f"{display_path(plan.to)}."),
        "tag": f"{files} will be tagged “{one_line(plan.tag, 60)}”. No file is touched.",
        "hard-link": f"{files}, {format_size(plan.bytes)}, will be replaced by hard links to the ones that stay.",
        "reflink": f"{files}, {format_size(plan.bytes)}, will share the blocks of the ones that stay.",
    }[plan.action]
    return (
        f"{question} {keepers} {'stays' if len(plan.groups) == 1 else 'stay'}. Each file is read again before it is "
        "touched, and left alone where it has changed. “Restore” undoes it."
    )


def _sure_of(plan: Plan) -> str:
    confidences = describe_confidences(plan.sure)
    return f"{confidences[0].upper()}{confidences[1:]}." if confidences else ""


@st.dialog("Clean up?")
def _confirm(workspace: Workspace, plan: Plan) -> None:
    st.text(confirmation(plan))
    if confidence := _sure_of(plan):
        st.text(confidence)
    with st.container(horizontal=True):
        if st.button(
            _ACTION_BUTTONS[plan.action].format(format_count(len(plan.files), "file")),
            type="primary",
            key="duplicates-yes",
        ):
            workspace.apply(plan)
            st.rerun()
        if st.button("Cancel", key="duplicates-no"):
            st.rerun()


def show_apply(workspace: Workspace) -> None:
    """Show the progress of actions on files, then their result."""
    task = workspace.applying
    if task is None:
        return
    if task.running:
        search_form.show_task(
            lambda: workspace.applying, "Waiting for the collection, then reading files", "duplicates-apply-stop"
        )
        return
    with st.container(border=True):
        try:
            report = task.result()
        except ImseekError as error:
            workspace.applying = None
            errors.show_error(error)
            st.text("Anything done before that is listed under “Restore”.")
            return
        _result(workspace, report)


def _result(workspace: Workspace, report: ApplyReport) -> None:
    for line in result_lines(report):
        st.text(line)
    left = [file for file in report.files if file.outcome == "left"]
    if left:
        _show_files(left)
    with st.container(horizontal=True):
        if report.undo_id is not None and st.button("Undo this …", key="duplicates-undo-this"):
            undo_list.confirm(workspace, report.undo_id)
        if st.button("Close", key="duplicates-applied-close"):
            workspace.applying = None
            st.rerun()


def result_lines(report: ApplyReport) -> list[str]:
    """Describe the result."""
    lines = []
    for action, words in undo_list.ACTION_WORDS.items():
        files = [file for file in report.files if file.outcome == "done" and file.action == action]
        if files:
            lines.append(
                f"✓ {format_count(len(files), 'file')} {words}, {format_size(sum(file.bytes for file in files))}."
            )
    if already := report.counts.get("already", 0):
        lines.append(
            f"{format_count(already, 'file')} as it should be already."
            if already == 1
            else f"{already:,} files were as they should be already."
        )
    if left := report.counts.get("left", 0):
        lines.append(f"⚠️ {format_count(left, 'file')} left alone, for these reasons:")
    if report.interrupted:
        lines.append("Stopped. What was done is kept, and can be restored.")
    lines += [one_line(note, 400) for note in report.notes]
    return lines or ["Nothing to do."]


def _show_files(files: Iterable[AppliedFile]) -> None:
    labels = {"would": "would be done", "done": "done", "already": "as it should be", "left": "left alone"}
    table(
        {
            "": labels[file.outcome],
            "file": display_path(file.path),
            "reason": one_line(file.reason, 400),
            "size": format_size(file.bytes),
        }
        for file in sorted(files, key=lambda file: file.outcome != "left")
    )


def table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Draw rows as plain text."""
    records = list(rows)
    empty_columns = {name for row in records[:1] for name in row} - {
        name for row in records for name, value in row.items() if value
    }
    records = [{name: value for name, value in row.items() if name not in empty_columns} for row in records]
    if len(records) > _ROWS:
        st.text(f"The first {_ROWS:,} of {len(records):,}:")
    st.dataframe(records[:_ROWS], hide_index=True, alt=f"{len(records)} files")
