"""The search page: query and results."""

from __future__ import annotations

import streamlit as st

from imseek.data.current_file import read_current
from imseek.ui.web import shell
from imseek.ui.web.asked import Asked
from imseek.ui.web.pages.search import answer, box, earlier, filtering, options, start, state
from imseek.ui.web.plain import one_line
from imseek.ui.web.settling import settle


def show() -> None:
    """Draw the page."""
    name, collection = shell.collection()
    read = state.current()
    asked = read.asked
    with shell.told():
        captions = read_current(collection.path).caption_space is not None
    box.show(asked)
    with st.container(horizontal=True, gap="xsmall"):
        box.picture()
        box.more_words()
        filtering.show(collection, asked)
        options.show(asked, captions=captions)
        earlier.show(collection.uuid, asked)
        if asked != Asked():
            st.button("Start again", on_click=state.go, args=(Asked(),))
    state.show_refusal()
    for one in read.unread:
        st.text(f"⚠️ Left out of the address, since it cannot be read: {one_line(one)}")
    with shell.told():
        box.pieces_of(asked, name, collection)
    if asked.empty:
        start.show(name, collection, asked)
        return
    if answer.show(name, collection, asked):
        earlier.remember(collection.uuid, asked)
        settle("an answer")
