"""The list of all groups: count them, jump to one, or decide about several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import streamlit as st

from imseek.duplicates.results import DuplicateGroup, DuplicateReport
from imseek.errors import ImseekError
from imseek.ui.render.duplicates_page import KIND_LABELS
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web import app_state
from imseek.ui.web.components.grid import Card, grid
from imseek.ui.web.pages.duplicates import group_data, group_review
from imseek.ui.web.pages.duplicates.decisions import (
    UNDECIDED,
    Act,
    State,
    decide,
    key_of,
    remaining_group,
    token,
)
from imseek.ui.web.pages.duplicates.workspace import Workspace
from imseek.ui.web.parts import errors, results
from imseek.ui.web.plain_text import one_line

PAGE: Final = 60
#: Session key that makes the page show the opened group.
REVIEW_KEY: Final = "duplicates-go"
_OPEN: Final = "To decide"
_LATER: Final = "Later"
_DECIDED: Final = "Decided"
_ALL: Final = "All"


def show(name: str, workspace: Workspace, report: DuplicateReport) -> None:
    """Draw the list."""
    st.fragment(_list)(name, workspace, report)


def _list(name: str, workspace: Workspace, report: DuplicateReport) -> None:
    states = workspace.decisions.states
    choice = st.segmented_control(
        "Which", [_ALL, _OPEN, _LATER, _DECIDED], key="duplicates-which", default=_ALL, required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    matches = [
        group for group in report.groups if choice in (_ALL, status(group, states.get(key_of(group), UNDECIDED)))
    ]
    if not matches:
        st.text(f"No group is in “{choice}”.")
        return
    pages = -(-len(matches) // PAGE)
    page = st.pagination(pages, key=f"duplicates-page-{choice}") if pages > 1 else 1
    # By numbers that stay with them: the end of a search orders groups, and ticks must not pass to others.
    visible = {workspace.number_of(group): group for group in matches[(page - 1) * PAGE : page * PAGE]}
    names = workspace.names(name)
    events = grid(
        [_card(n, group, states.get(key_of(group), UNDECIDED), names) for n, group in visible.items()],
        key="duplicates-list",
        row=170,
        epoch=workspace.decisions.version,
    )
    if events.opened is not None:
        st.session_state[group_review.GROUP_STATE_KEY] = key_of(visible[events.opened])
        st.session_state[REVIEW_KEY] = True
        st.rerun()
    _show_bulk_actions(workspace, [visible[n] for n in events.selected])


def status(group: DuplicateGroup, state: State) -> str:
    if state.is_settled or len(remaining_group(group, state).members) < 2:
        return _DECIDED
    return _LATER if state.act == "later" else _OPEN


def _card(n: int, group: DuplicateGroup, state: State, names: Callable[[str], str | None]) -> Card:
    keeper = group.keeper
    outcome = group_data.describe_decision(group, state)
    ratio, side = results.size_of({"width": keeper.width, "height": keeper.height, "format": keeper.format})
    note = f"{len(group.members):,} × {KIND_LABELS[group.kind]}"
    if group.surplus:
        note += f", {format_size(group.surplus_bytes)}"
    return Card(
        n,
        app_state.thumbnail_url(names(keeper.collection) or "", keeper.image_id),
        alt=one_line(group_data.name(keeper)),
        title=one_line(group_data.name(keeper)),
        note=note,
        mark=one_line(outcome, 40),
        faint=state.is_settled,
        ratio=ratio,
        side=side,
    )


def _show_bulk_actions(workspace: Workspace, groups: Sequence[DuplicateGroup]) -> None:
    if not groups:
        st.text("Click a group to look at it. Tick some to decide about them together.")
        return
    some = format_count(len(groups), "group")
    with st.container(horizontal=True):
        if st.button(f"Keep the suggested one of {some}", key="duplicates-several-keep"):
            _decide_all(workspace, groups, "keep")
        if st.button(f"All of {some} stay: no duplicates", key="duplicates-several-different"):
            _decide_all(workspace, groups, "different")
        if st.button("Later", key="duplicates-several-later"):
            _decide_all(workspace, groups, "later")


def _decide_all(workspace: Workspace, groups: Sequence[DuplicateGroup], act: Act) -> None:
    decisions = []
    for group in groups:
        state = workspace.decisions.states.get(key_of(group), UNDECIDED)
        if act == "keep" and not group.has_suggestion:
            continue
        with suppress(ValueError):
            decisions.append(decide(group, state, act, (token(remaining_group(group, state).keeper),)))
    try:
        workspace.decisions.add(*decisions)
    except ImseekError as error:
        errors.show_error(error)
        return
    st.rerun(scope="fragment")
