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
        is_creating = create_form.show_progress()
    entries = current_app().collections()
    if not entries:
        create_form.show_first_run(busy=is_creating)
        return
    current = next((one for one in entries if one.name == navigation.collection_name()), None)
    missing = navigation.missing_collection()
    if missing is not None:
        navigation.show_missing(missing)
    with st.container():
        create_form.show_switch(busy=is_creating)
    overview.show(entries, current)
    if current is not None:
        _one(current)


def _one(entry: NamedCollection) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="collections-title"):
        st.text(entry.name, width="content")
        facts = st.empty()
        searchable = st.empty()
    with st.container():
        maintenance.show_checks(entry)
    try:
        info = current_app().open(entry.name).info()
        with st.container():
            run_status.show(entry)
    except ImseekError as error:
        errors.show_error(error)
        maintenance.show_broken(entry)
        return
    searchable.page_link(
        navigation.page("search"), label="Search →", query_params={navigation.COLLECTION_KEY: entry.name}
    )
    contents = format_count(info.images, "picture")
    facts.caption(
        f"{contents}; {format_count(len(info.failures), 'file')} not indexed" if info.failures else contents,
        width="content",
    )
    pictures, failures, about, upkeep, runs = st.tabs(
        ["Sources", "Not indexed", "Details", "Maintenance", "History"],
        key="collections-tabs",
        on_change="rerun",
    )
    # Tabs that are not open are not computed.
    if pictures.open:
        with pictures:
            sources.show(entry, info)
    if failures.open:
        with failures:
            details.show_failures(entry, info)
    if about.open:
        with about:
            details.show(entry, info)
    if upkeep.open:
        with upkeep:
            maintenance.show(entry, info)
    if runs.open:
        with runs:
            run_status.show_all(entry)
