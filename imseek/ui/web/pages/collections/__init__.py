"""The collections page: make a collection, fill it, and see what it holds."""

from __future__ import annotations

import streamlit as st

from imseek.errors import ImseekError
from imseek.library import NamedCollection
from imseek.ui.render.words import format_count
from imseek.ui.web.app_state import current_app
from imseek.ui.web.pages.collections import create_form, details, maintenance, overview, run_status, sources
from imseek.ui.web.parts import errors, navigation


def show() -> None:
    """Draw the page."""
    # Parts that come and go get their own containers, so that nothing below them moves.
    with st.container():
        making = create_form.show_progress()
    named = current_app().collections()
    if not named:
        create_form.show_first_run(busy=making)
        return
    chosen = next((one for one in named if one.name == navigation.collection_name()), None)
    missing = navigation.missing_collection()
    if missing is not None:
        navigation.show_missing(missing)
    with st.container():
        create_form.show_switch(busy=making)
    overview.show(named, chosen)
    if chosen is not None:
        _one(chosen)


def _one(chosen: NamedCollection) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="collections-title"):
        st.text(chosen.name, width="content")
        facts = st.empty()
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
        navigation.page("search"), label="Search →", query_params={navigation.COLLECTION_KEY: chosen.name}
    )
    held = format_count(info.images, "picture")
    facts.caption(
        f"{held}; {format_count(len(info.failures), 'file')} not indexed" if info.failures else held, width="content"
    )
    pictures, failures, about, upkeep, runs = st.tabs(
        ["Sources", "Not indexed", "Details", "Maintenance", "History"],
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
