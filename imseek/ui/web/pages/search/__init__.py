"""The search page: query and results."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from imseek.collection import Collection
from imseek.overview import read_state
from imseek.search import is_calibrated
from imseek.ui.web.components.rail import rail
from imseek.ui.web.gc_freeze import freeze_heap
from imseek.ui.web.pages.search import (
    answer,
    facets,
    more_filters,
    options,
    page_state,
    saved_search_menu,
    search_box,
    start_page,
)
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import one_line
from imseek.ui.web.search_state import SearchState


def show() -> None:
    """Draw the page."""
    if navigation.collection_name() is None and navigation.missing_collection() is None:
        from imseek.ui.web.pages.collections import create_form

        create_form.show_welcome()
        return
    name, collection = navigation.collection()
    address = page_state.current()
    state = address.state
    with errors.show_errors():
        captions, calibrated = read_state(collection.path).has_captions, is_calibrated(collection.path)
    above = st.container(key="search-above")
    menus = st.container(horizontal=True, gap="xsmall", key="search-menus", vertical_alignment="center", wrap=False)
    with menus:
        _rail(name, collection, state)
        facts = st.container(key="search-facts", gap=None)
    _show_unread(address.unread)
    # Draw the results that the user waits for first, the menus above them last.
    is_found = not state.empty and answer.show(name, collection, state, facts)
    with menus:
        search_box.more_words()
        more_filters.show(collection, state)
        options.show(state, captions=captions, calibrated=calibrated)
        options.show_order(state)
        saved_search_menu.show(collection.uuid, state)
        if state != SearchState():
            st.button("Clear", on_click=page_state.go_to, args=(SearchState(),), help="Start a new search")
    with above, errors.show_errors():
        search_box.show_chips(state, name, collection)
    if state.empty:
        start_page.show(name, collection, state, above, facts)
    if is_found:
        saved_search_menu.remember(collection.uuid, state)
        freeze_heap("an answer")


def _rail(name: str, collection: Collection, state: SearchState) -> None:
    rail(
        facets.facets_url(name, state),
        key="search-rail",
        chosen=len(state.where),
        generation=read_state(collection.path).generation,
        changed=lambda choice: page_state.go_to(facets.change(page_state.current().state, choice)),
    )


def _show_unread(unread: Sequence[str]) -> None:
    """Say which parts of the address were left out: one in full, many as a list to open."""
    if not unread:
        return
    if len(unread) == 1:
        st.text(f"⚠️ Left out of the address, since it cannot be read: {one_line(unread[0])}")
        return
    with st.expander(f"⚠️ {len(unread)} parts of the address cannot be read, and were left out"):
        st.code("\n".join(one_line(one) for one in unread), language=None, wrap_lines=True)
