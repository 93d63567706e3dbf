"""The duplicates page: find them, decide group by group, clear up files, and bring them back."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.ui.render.words import format_count
from imseek.ui.web.app_state import current_app
from imseek.ui.web.pages.duplicates import (
    cleanup,
    group_list,
    group_review,
    judgement_list,
    search_form,
    undo_list,
)
from imseek.ui.web.pages.duplicates.workspace import open_workspace
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import capitalise

_VIEW: Final = "duplicates-view"
_REVIEW: Final = "One by one"
_LIST: Final = "All groups"
_CLEAR: Final = "Clean up"
_BACK: Final = "Restore"


def show() -> None:
    """Draw the page."""
    name, collection = navigation.collection()
    with errors.show_errors():
        workspace = open_workspace(collection.path)
        search_form.take_report(workspace)
        workspace.follow()
        images = workspace.images()
    others = [one.name for one in current_app().collections() if one.path != workspace.root]
    if images and workspace.report is None and workspace.finding is None:
        search_form.show_form(workspace, others, images)
    st.session_state.setdefault(_VIEW, _REVIEW)
    if st.session_state.pop(group_list.REVIEW_KEY, False):
        st.session_state[_VIEW] = _REVIEW
    head = st.container(horizontal=True, vertical_alignment="center", key="duplicates-head")
    with head:
        view = st.segmented_control(
            "View",
            [_REVIEW, _LIST, _CLEAR, _BACK],
            key=_VIEW,
            required=True,
            label_visibility="collapsed",
        )
        if images and (workspace.report is not None or workspace.finding is not None):
            search_form.show_form(workspace, others, images)
    # What comes and goes stands in a place of its own: Streamlit makes what moves anew, without the user's marks.
    notices = st.container()
    with notices:
        if images:
            search_form.show_search(workspace)
        if workspace.decisions.unread is not None:
            errors.show_error(workspace.decisions.unread)
        elif workspace.decisions.note is not None:
            st.text(f"⚠️ {capitalise(workspace.decisions.note)}")
    if view == _BACK:
        undo_list.show(workspace)
        judgement_list.show(name, workspace)
        return
    if workspace.applying is not None:
        with notices:
            cleanup.show_apply(workspace)
    report = workspace.report
    if report is None:
        if not images:
            navigation.no_pictures("Add pictures before you look for duplicates.")
        elif workspace.finding is None:
            st.text(
                f"Press “Find duplicates” to compare {format_count(images, 'picture')} with each "
                "other. This changes nothing. You can stop it and continue later."
            )
        return
    with notices:
        search_form.show_summary(workspace, report, head)
    if view == _CLEAR and workspace.finding is not None:
        st.text("Files can be cleaned up once the search has ended, or has been stopped.")
        return
    if not report.groups:
        st.subheader("No duplicates", anchor=False)
        st.text(
            f"Among {format_count(report.searched, 'picture')}, none is there more than once in the "
            "ways that were looked "
            "for. Look for more kinds above, or leave out the condition."
        )
    elif view == _LIST:
        group_list.show(name, workspace, report)
    elif view == _CLEAR:
        cleanup.show(workspace, report)
    else:
        group_review.show(name, workspace, report)
