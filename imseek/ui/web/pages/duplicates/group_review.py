"""Review of groups one at a time: pictures side by side, decided by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from imseek.duplicates.results import KIND_FACTS, DuplicateGroup, DuplicateReport
from imseek.errors import ImseekError
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web.components.compare import ReviewAction, compare
from imseek.ui.web.pages.duplicates import group_data
from imseek.ui.web.pages.duplicates.decisions import (
    ACTS,
    UNDECIDED,
    Act,
    Token,
    decide,
    is_foreign,
    key_of,
    next_open,
    remaining_group,
    tally,
    token,
)
from imseek.ui.web.pages.duplicates.decisions import Key as GroupKey
from imseek.ui.web.pages.duplicates.workspace import Workspace
from imseek.ui.web.parts.viewer import VIEW_KEY
from imseek.ui.web.plain_text import capitalise

#: Session key of the key of the shown group, which stays the same in a later search.
GROUP_STATE_KEY: Final = "duplicates-at"
_MESSAGE_KEY: Final = "duplicates-said"
#: Session key of the number of the user's actions that were handled.
_TURN_KEY: Final = "duplicates-turn"


def show(name: str, workspace: Workspace, report: DuplicateReport) -> None:
    """Draw the review."""
    st.fragment(_review)(name, workspace, report)


def current_group(workspace: Workspace, report: DuplicateReport) -> int | None:
    """Return the index of the group to show: the current one if it still exists, else the next undecided one.

    A new session begins with the group of the image in the URL, which was compared when the page was reloaded.
    """
    key: GroupKey | None = st.session_state.get(GROUP_STATE_KEY)
    if key is None:
        viewed = st.query_params.get(VIEW_KEY, "")
        for n, group in enumerate(report.groups):
            if viewed in {str(member.image_id) for member in group.members}:
                return n
    else:
        for n, group in enumerate(report.groups):
            if key_of(group) == key:
                return n
    return next_open(report.groups, workspace.decisions.states, 0)


def _review(name: str, workspace: Workspace, report: DuplicateReport) -> None:
    groups = report.groups
    progress = tally(report, workspace.decisions.states)
    st.progress(
        progress.settled / max(1, progress.groups),
        text=_progress(progress.groups, progress.settled, progress.later, progress.surplus, progress.bytes),
    )
    _watch_store(workspace)
    with st.container():  # A message must not move the pictures, which would lose their marks.
        if message := st.session_state.pop(_MESSAGE_KEY, None):
            st.text(f"⚠️ {message}")
    n = current_group(workspace, report)
    if n is None:
        _show_done(workspace, report)
        return
    group = groups[n]
    # It stays when others are found meanwhile, and when the search ends, which orders them.
    st.session_state[GROUP_STATE_KEY] = key_of(group)
    state = workspace.decisions.states.get(key_of(group), UNDECIDED)
    left = remaining_group(group, state)
    outcome = group_data.describe_decision(group, state)
    decided = f" · decided: {outcome}" if outcome else ""
    label = f"Group {n + 1:,} of {len(groups):,}"
    st.text(f"{label} · {group_data.heading(left)}{decided}")
    names = workspace.names(name)
    following = next_open(groups, workspace.decisions.states, (n + 1) % len(groups))
    more = len(left.members) - group_data.MAX_SHOWN
    compare(
        group_data.group_data(names, left, state),
        key="duplicates-group",
        epoch=_epoch(left),
        label=label,
        acts=_acts(workspace, left),
        acted=lambda acted: _on_action(workspace, report, acted),
        turn=st.session_state.get(_TURN_KEY, 0),
        before=group_data.thumbnails(names, groups[following]) if following is not None else (),
        note=f"{more:,} more are not shown. What you decide holds for them too." if more > 0 else "",
    )


def _progress(groups: int, settled: int, later: int, surplus: int, freed: int) -> str:
    line = f"{settled:,} of {format_count(groups, 'group')} decided"
    if later:
        line += f", {later:,} for later"
    if surplus:
        line += f"; {format_count(surplus, 'picture')} may go, {format_size(freed)}"
    return line


def _epoch(group: DuplicateGroup) -> str:
    """Return what tells groups apart: their pictures, since the number of a group changes while others are found."""
    return ":".join(str(member.image_id) for member in group.members[:50])


def _acts(workspace: Workspace, group: DuplicateGroup) -> dict[str, str]:
    copies = len({member.content_hash for member in group.members}) == 1
    acts: dict[str, str] = {}
    if KIND_FACTS[group.kind].removal != "never" and len(group.members) > 1:
        acts["keep"] = "Keep this one"
    acts["different"] = "Keep all" if copies else "Not duplicates"
    if not copies and len(group.members) > 2 and not is_foreign(group):
        acts["apart"] = "This one is another picture"
    acts["later"] = "Later"
    if workspace.decisions.entries:
        acts["undo"] = "Undo"
    acts["previous"] = "Previous"
    acts["next"] = "Next"
    return acts


def _on_action(workspace: Workspace, report: DuplicateReport, acted: ReviewAction) -> None:
    """Handle an action of the user, before the page is drawn again."""
    st.session_state[_TURN_KEY] = st.session_state.get(_TURN_KEY, 0) + 1
    groups = report.groups
    n = current_group(workspace, report)
    try:
        if acted.act == "undo":
            undo(workspace)
        elif n is None:
            return
        elif acted.act in ("next", "previous"):
            to = n + (1 if acted.act == "next" else -1)
            st.session_state[GROUP_STATE_KEY] = key_of(groups[to % len(groups)])
        elif acted.act in ACTS:
            group = groups[n]
            state = workspace.decisions.states.get(key_of(group), UNDECIDED)
            if acted.epoch != _epoch(remaining_group(group, state)):
                return  # The action was meant for the previous group.
            members = remaining_group(group, state).members
            _decide(workspace, group, acted.act, [token(members[i]) for i in acted.images if i < len(members)])
            state = workspace.decisions.states.get(key_of(group), UNDECIDED)
            if acted.act != "apart" or len(remaining_group(group, state).members) < 2:
                go_to_next(workspace, report, n)
    except (ImseekError, ValueError) as error:
        st.session_state[_MESSAGE_KEY] = capitalise(str(error))


def _decide(workspace: Workspace, group: DuplicateGroup, act: Any, images: Sequence[Token]) -> None:
    checked_act: Act = act
    workspace.decisions.add(
        decide(group, workspace.decisions.states.get(key_of(group), UNDECIDED), checked_act, images)
    )


def go_to_next(workspace: Workspace, report: DuplicateReport, n: int) -> None:
    """Go to the next open group, or to the end if there is none."""
    target = next_open(report.groups, workspace.decisions.states, (n + 1) % len(report.groups))
    if target == n and workspace.decisions.states.get(key_of(report.groups[n]), UNDECIDED).act is not None:
        target = None
    st.session_state[GROUP_STATE_KEY] = None if target is None else key_of(report.groups[target])


def undo(workspace: Workspace) -> None:
    last = workspace.decisions.undo()
    if last is not None:
        st.session_state[GROUP_STATE_KEY] = last.group


def _show_done(workspace: Workspace, report: DuplicateReport) -> None:
    progress = tally(report, workspace.decisions.states)
    st.subheader("All groups are decided", anchor=False)
    st.text(
        f"{format_count(progress.surplus, 'picture')} may go, {format_size(progress.bytes)}. Nothing has "
        "happened to any file yet: “Clean up” "
        "shows what can be done with them."
        if progress.surplus
        else "All pictures stay, so there is nothing to clean up."
    )
    with st.container(horizontal=True):
        if st.button("Undo the last decision", shortcut="u", key="duplicates-undo"):
            try:
                undo(workspace)
            except ImseekError as error:
                st.session_state[_MESSAGE_KEY] = str(error)
            st.rerun(scope="fragment")
        if st.button("Review again", key="duplicates-first"):
            st.session_state[GROUP_STATE_KEY] = key_of(report.groups[0])
            st.rerun(scope="fragment")


def _watch_store(workspace: Workspace) -> None:
    is_waiting = workspace.decisions.pending or workspace.decisions.trouble is not None
    st.fragment(_show_store_state, run_every=1.0 if is_waiting else None)(workspace)


def _show_store_state(workspace: Workspace) -> None:
    trouble = workspace.decisions.trouble
    if trouble is None:
        return
    with st.container(border=True):
        st.text(
            f"⏳ {format_count(workspace.decisions.pending, 'decision')} noted, and not in the collection yet: "
            f"{trouble}. " + (f"{trouble.hint}. " if trouble.hint else "") + "You can go on."
        )
        if not workspace.decisions.is_storing and st.button("Try again", key="duplicates-store"):
            workspace.decisions.store()
