"""The collections page: make a collection, fill it, and see what it holds."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.errors import ImseekError
from imseek.library import NamedCollection
from imseek.ui.render.words import format_count
from imseek.ui.web.app_state import current_app
from imseek.ui.web.pages.collections import create_form, details, maintenance, overview, run_status, sources
from imseek.ui.web.parts import errors, navigation

#: Collection names are shown as text, which Streamlit draws in one size only.
_STYLE: Final = """<style>
.st-key-collections-title [data-testid="stText"] { font-size: 1.6rem; font-weight: 600; }
.st-key-collections-cards [data-testid="stText"]:first-child { font-weight: 600; }
.st-key-collections-cards [data-testid="stVerticalBlock"] { gap: 0.35rem; }
</style>"""


def show() -> None:
    """Draw the page."""
    st.html(_STYLE)
    # Parts that come and go get their own containers, so that nothing below them moves.
    with st.container():
        making = create_form.show_progress()
    named = current_app().collections()
    if not named:
        create_form.show_first_run(busy=making)
        return
    chosen = next((one for one in named if one.name == st.session_state.get(navigation.COLLECTION_KEY)), named[0])
    overview.show(named, chosen)
    with st.container():
        create_form.show_switch(busy=making)
    _one(chosen)


def _one(chosen: NamedCollection) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="collections-title"):
        st.text(chosen.name, width="content")
        searchable = st.empty()
    with st.container():
        maintenance.show_checks(chosen)
    try:
        info = current_app().open(chosen.name).info()
        with st.container():
            run_status.show(chosen)
    except ImseekError as error:
        errors.show_error(error)
        maintenance.show_broken(chosen)
        return
    searchable.page_link(
        navigation.page("search"), label="Search it →", query_params={navigation.COLLECTION_KEY: chosen.name}
    )
    held = format_count(info.images, "picture")
    st.text(f"{held}; {format_count(len(info.failures), 'file')} could not be indexed" if info.failures else held)
    pictures, failures, about, upkeep, runs = st.tabs(
        ["Pictures", "Not indexed", "Facts", "Upkeep", "Runs"],
        key="collections-tabs",
        on_change="rerun",
    )
    # Tabs that are not open are not computed.
    if pictures.open:
        with pictures:
            sources.show(chosen, info)
    if failures.open:
        with failures:
            details.show_failures(chosen, info)
    if about.open:
        with about:
            details.show(chosen, info)
    if upkeep.open:
        with upkeep:
            maintenance.show(chosen, info)
    if runs.open:
        with runs:
            run_status.show_all(chosen)
