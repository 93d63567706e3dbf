"""The duplicates page: find them, decide group by group, clear up files, and bring them back."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.showing.words import count
from imseek.ui.web import shell
from imseek.ui.web.hub import hub
from imseek.ui.web.pages.duplicates import clearing, finding, judged, listed, returning, reviewing
from imseek.ui.web.pages.duplicates.desk import desk
from imseek.ui.web.plain import capitalised

_VIEW: Final = "duplicates-view"
_REVIEW: Final = "One by one"
_LIST: Final = "All groups"
_CLEAR: Final = "Clear up"
_BACK: Final = "Bring back"


def show() -> None:
    """Draw the page."""
    name, collection = shell.collection()
    with shell.told():
        of = desk(collection.path)
        images = of.images()
        of.follow()
    if images:
        finding.ask(of, [one.name for one in hub().collections() if one.path != of.root])
        finding.watch(of)
    if of.kept.unread is not None:
        shell.refused(of.kept.unread)
    elif of.kept.note is not None:
        st.text(f"⚠️ {capitalised(of.kept.note)}")
    st.session_state.setdefault(_VIEW, _REVIEW)
    if st.session_state.pop(listed.GO, False):
        st.session_state[_VIEW] = _REVIEW
    view = st.segmented_control(
        "View",
        [_REVIEW, _LIST, _CLEAR, _BACK],
        key=_VIEW,
        required=True,
        label_visibility="collapsed",
    )
    if view == _BACK:
        returning.show(of)
        judged.show(name, of)
        return
    if of.applying is not None:
        clearing.working(of)
    report = of.report
    if report is None:
        if not images:
            shell.no_pictures("Duplicates are looked for among the pictures of a collection. Add some first.")
        elif of.finding is None:
            st.text(
                f"Press “Find duplicates” to compare {count(images, 'picture')} with each other. Looking changes "
                "nothing; the first time may take a while, and it can be stopped and goes on from there."
            )
        return
    finding.told(of, report)
    if not report.groups:
        st.subheader("No duplicates", anchor=False)
        st.text(
            f"Among {count(report.searched, 'picture')}, none is there more than once in the ways that were looked "
            "for. Look for more kinds above, or leave out the condition."
        )
    elif view == _LIST:
        listed.show(name, of, report)
    elif view == _CLEAR:
        clearing.show(of, report)
    else:
        reviewing.show(name, of, report)
