"""The list of all groups: count them, jump to one, or decide about several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import streamlit as st

from imseek.errors import ImseekError
from imseek.showing.words import count, size
from imseek.types import DuplicateGroup, DuplicateReport
from imseek.ui.duplicates_page import WORDS
from imseek.ui.web import hub, shell
from imseek.ui.web.components.grid import Card, grid
from imseek.ui.web.pages.duplicates import reviewing, shown
from imseek.ui.web.pages.duplicates.desk import Desk
from imseek.ui.web.pages.duplicates.review import (
    UNDECIDED,
    Act,
    State,
    decide,
    key_of,
    present,
    token,
)
from imseek.ui.web.plain import one_line

PAGE: Final = 60
#: Session key that makes the page show the opened group.
GO: Final = "duplicates-go"
_OPEN: Final = "To decide"
_LATER: Final = "Later"
_DECIDED: Final = "Decided"
_ALL: Final = "All"


def show(name: str, of: Desk, report: DuplicateReport) -> None:
    """Draw the list."""
    st.fragment(_list)(name, of, report)


def _list(name: str, of: Desk, report: DuplicateReport) -> None:
    states = of.kept.states
    wanted = st.segmented_control(
        "Which", [_ALL, _OPEN, _LATER, _DECIDED], key="duplicates-which", default=_ALL, required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    found = [
        n
        for n, group in enumerate(report.groups)
        if wanted in (_ALL, status(group, states.get(key_of(group), UNDECIDED)))
    ]
    if not found:
        st.text(f"No group is in “{wanted}”.")
        return
    pages = -(-len(found) // PAGE)
    page = st.pagination(pages, key=f"duplicates-page-{wanted}") if pages > 1 else 1
    here = found[(page - 1) * PAGE : page * PAGE]
    names = of.names(name)
    picked = grid(
        [_card(n, report.groups[n], states.get(key_of(report.groups[n]), UNDECIDED), names) for n in here],
        key="duplicates-list",
        side=180,
        epoch=of.kept.version,
    )
    if picked.opened is not None:
        st.session_state[reviewing.AT] = key_of(report.groups[picked.opened])
        st.session_state[GO] = True
        st.rerun()
    _several(of, [report.groups[n] for n in picked.selected])


def status(group: DuplicateGroup, state: State) -> str:
    if state.settled or len(present(group, state).members) < 2:
        return _DECIDED
    return _LATER if state.act == "later" else _OPEN


def _card(n: int, group: DuplicateGroup, state: State, names: Callable[[str], str | None]) -> Card:
    keeper = group.keeper
    outcome = shown.outcome(group, state)
    note = f"{len(group.members):,} × {WORDS[group.kind]}"
    if group.surplus:
        note += f", {size(sum(member.bytes for member in group.surplus))}"
    return Card(
        n,
        hub.thumbnail(names(keeper.collection) or "", keeper.image_id),
        alt=one_line(shown.name(keeper)),
        title=one_line(shown.name(keeper)),
        note=note,
        mark=one_line(outcome, 40),
        faint=state.settled,
    )


def _several(of: Desk, groups: Sequence[DuplicateGroup]) -> None:
    if not groups:
        st.text("Click a group to look at it. Tick some to decide about them together.")
        return
    some = count(len(groups), "group")
    with st.container(horizontal=True):
        if st.button(f"Keep the suggested one of {some}", key="duplicates-several-keep"):
            _say(of, groups, "keep")
        if st.button(f"All of {some} stay: no duplicates", key="duplicates-several-different"):
            _say(of, groups, "different")
        if st.button("Later", key="duplicates-several-later"):
            _say(of, groups, "later")


def _say(of: Desk, groups: Sequence[DuplicateGroup], act: Act) -> None:
    said = []
    for group in groups:
        state = of.kept.states.get(key_of(group), UNDECIDED)
        with suppress(ValueError):  # A picture and its crop are both kept.
            said.append(decide(group, state, act, (token(present(group, state).keeper),)))
    try:
        of.kept.say(*said)
    except ImseekError as error:
        shell.refused(error)
        return
    st.rerun(scope="fragment")
