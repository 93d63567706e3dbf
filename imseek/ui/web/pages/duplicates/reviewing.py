"""Review of groups one at a time: pictures side by side, decided by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from imseek.errors import ImseekError
from imseek.showing.words import count, size
from imseek.types import DuplicateGroup, DuplicateReport
from imseek.ui.web.components.compare import Acted, compare
from imseek.ui.web.pages.duplicates import shown
from imseek.ui.web.pages.duplicates.desk import Desk
from imseek.ui.web.pages.duplicates.review import (
    ACTS,
    UNDECIDED,
    Act,
    Token,
    decide,
    is_foreign,
    key_of,
    next_open,
    present,
    tally,
    token,
)
from imseek.ui.web.pages.duplicates.review import Key as GroupKey
from imseek.ui.web.plain import capitalised

#: Session key of the key of the shown group, which stays the same in a later search.
AT: Final = "duplicates-at"
_SAID: Final = "duplicates-said"


def show(name: str, of: Desk, report: DuplicateReport) -> None:
    """Draw the review."""
    st.fragment(_review)(name, of, report)


def at(of: Desk, report: DuplicateReport) -> int | None:
    """Return the index of the group to show: the current one if it still exists, else the next undecided one."""
    wanted: GroupKey | None = st.session_state.get(AT)
    if wanted is not None:
        for n, group in enumerate(report.groups):
            if key_of(group) == wanted:
                return n
    return next_open(report.groups, of.kept.states, 0)


def _review(name: str, of: Desk, report: DuplicateReport) -> None:
    groups = report.groups
    now = tally(report, of.kept.states)
    st.progress(
        now.settled / max(1, now.groups),
        text=_progress(now.groups, now.settled, now.later, now.surplus, now.bytes),
    )
    _storing(of)
    if said := st.session_state.pop(_SAID, None):
        st.text(f"⚠️ {said}")
    n = at(of, report)
    if n is None:
        _done(of, report)
        return
    group = groups[n]
    state = of.kept.states.get(key_of(group), UNDECIDED)
    left = present(group, state)
    outcome = shown.outcome(group, state)
    decided = f" · decided: {outcome}" if outcome else ""
    label = f"Group {n + 1:,} of {len(groups):,}"
    st.text(f"{label} · {shown.heading(left)}{decided}")
    names = of.names(name)
    following = next_open(groups, of.kept.states, (n + 1) % len(groups))
    hidden = len(left.members) - shown.MOST
    compare(
        shown.group_data(names, left, state),
        key="duplicates-group",
        epoch=_epoch(n, left),
        label=label,
        acts=_acts(of, left),
        acted=lambda acted: _acted(of, report, acted),
        before=shown.thumbnails(names, groups[following]) if following is not None else (),
        note=f"{hidden:,} more are not shown. What you decide holds for them too." if hidden > 0 else "",
    )


def _progress(groups: int, settled: int, later: int, surplus: int, freed: int) -> str:
    said = f"{settled:,} of {count(groups, 'group')} decided"
    if later:
        said += f", {later:,} for later"
    if surplus:
        said += f"; {count(surplus, 'picture')} may go, {size(freed)}"
    return said


def _epoch(n: int, group: DuplicateGroup) -> str:
    return f"{n}:{':'.join(str(member.image_id) for member in group.members[:50])}"


def _acts(of: Desk, group: DuplicateGroup) -> dict[str, str]:
    copies = len({member.content_hash for member in group.members}) == 1
    acts: dict[str, str] = {}
    if group.kind != "inside" and len(group.members) > 1:
        acts["keep"] = "Keep this one"
    acts["different"] = "Keep all" if copies else "Not duplicates"
    if not copies and len(group.members) > 2 and not is_foreign(group):
        acts["apart"] = "This one is another picture"
    acts["later"] = "Later"
    if of.kept.said:
        acts["undo"] = "Undo"
    acts["previous"] = "Previous"
    acts["next"] = "Next"
    return acts


def _acted(of: Desk, report: DuplicateReport, acted: Acted) -> None:
    """Handle an action of the user, before the page is drawn again."""
    groups = report.groups
    n = at(of, report)
    try:
        if acted.act == "undo":
            undo(of)
        elif n is None:
            return
        elif acted.act in ("next", "previous"):
            to = n + (1 if acted.act == "next" else -1)
            st.session_state[AT] = key_of(groups[to % len(groups)])
        elif acted.act in ACTS:
            group = groups[n]
            state = of.kept.states.get(key_of(group), UNDECIDED)
            if acted.epoch != _epoch(n, present(group, state)):
                return  # The action was meant for the previous group.
            members = present(group, state).members
            _decide(of, group, acted.act, [token(members[i]) for i in acted.images if i < len(members)])
            state = of.kept.states.get(key_of(group), UNDECIDED)
            if acted.act != "apart" or len(present(group, state).members) < 2:
                onward(of, report, n)
    except (ImseekError, ValueError) as error:
        st.session_state[_SAID] = capitalised(str(error))


def _decide(of: Desk, group: DuplicateGroup, act: Any, images: Sequence[Token]) -> None:
    wanted: Act = act
    of.kept.say(decide(group, of.kept.states.get(key_of(group), UNDECIDED), wanted, images))


def onward(of: Desk, report: DuplicateReport, n: int) -> None:
    """Go to the next open group, or to the end if there is none."""
    to = next_open(report.groups, of.kept.states, (n + 1) % len(report.groups))
    if to == n and of.kept.states.get(key_of(report.groups[n]), UNDECIDED).act is not None:
        to = None
    st.session_state[AT] = None if to is None else key_of(report.groups[to])


def undo(of: Desk) -> None:
    last = of.kept.undo()
    if last is not None:
        st.session_state[AT] = last.group


def _done(of: Desk, report: DuplicateReport) -> None:
    now = tally(report, of.kept.states)
    st.subheader("All groups are decided", anchor=False)
    st.text(
        f"{count(now.surplus, 'picture')} may go, {size(now.bytes)}. Nothing has happened to any file yet: “Clear up” "
        "shows what can be done with them."
        if now.surplus
        else "All pictures stay, so there is nothing to clear up."
    )
    with st.container(horizontal=True):
        if st.button("Undo the last decision", shortcut="u", key="duplicates-undo"):
            try:
                undo(of)
            except ImseekError as error:
                st.session_state[_SAID] = str(error)
            st.rerun(scope="fragment")
        if st.button("Look at them again", key="duplicates-first"):
            st.session_state[AT] = key_of(report.groups[0])
            st.rerun(scope="fragment")


def _storing(of: Desk) -> None:
    waiting = of.kept.waiting or of.kept.trouble is not None
    st.fragment(_stored, run_every=1.0 if waiting else None)(of)


def _stored(of: Desk) -> None:
    trouble = of.kept.trouble
    if trouble is None:
        return
    with st.container(border=True):
        st.text(
            f"⏳ {count(of.kept.waiting, 'decision')} noted, and not in the collection yet: {trouble}. "
            + (f"{trouble.hint}. " if trouble.hint else "")
            + "You can go on."
        )
        if not of.kept.storing and st.button("Try again", key="duplicates-store"):
            of.kept.store()
