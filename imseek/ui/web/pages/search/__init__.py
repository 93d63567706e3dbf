"""The search page: query and results."""

from __future__ import annotations

import streamlit as st

from imseek.overview import read_state
from imseek.ui.web.gc_freeze import freeze_heap
from imseek.ui.web.pages.search import (
    answer,
    filter_menu,
    history,
    options,
    page_state,
    search_box,
    start_page,
)
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import one_line
from imseek.ui.web.search_state import SearchState


def show() -> None:
    """Draw the page."""
    name, collection = navigation.collection()
    read = page_state.current()
    asked = read.asked
    with errors.show_errors():
        captions = read_state(collection.path).has_captions
    search_box.show(asked, name)
    with st.container(horizontal=True, gap="xsmall"):
        search_box.picture()
        search_box.more_words()
        filter_menu.show(collection, asked)
        options.show(asked, captions=captions)
        history.show(collection.uuid, asked)
        if asked != SearchState():
            st.button("Start again", on_click=page_state.go_to, args=(SearchState(),))
    page_state.show_deferred_error()
    for one in read.unread:
        st.text(f"⚠️ Left out of the address, since it cannot be read: {one_line(one)}")
    with errors.show_errors():
        search_box.show_chips(asked, name, collection)
    if asked.empty:
        start_page.show(name, collection, asked)
        return
    if answer.show(name, collection, asked):
        history.remember(collection.uuid, asked)
        freeze_heap("an answer")
