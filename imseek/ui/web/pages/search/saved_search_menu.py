"""The menu of saved searches and of the history."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.errors import ImseekError
from imseek.ui.web.pages.search import page_state, query_chip_data
from imseek.ui.web.plain_text import escape_markdown, one_line
from imseek.ui.web.saved_searches import MAX_NAME_LENGTH, CollectionSearches
from imseek.ui.web.search_state import SearchState

#: Entries of the history shown in the menu.
_SHOWN: Final = 15
_NAME: Final = "search-save-as"
_WHICH: Final = "search-saved"
_RENAMED: Final = "search-rename-to"


def remember(uuid: str, state: SearchState) -> None:
    """Add the current search to the history, once each time it is made."""
    key = (uuid, state.with_changes())
    if st.session_state.get("search-remembered") == key:
        return
    st.session_state["search-remembered"] = key
    try:
        page_state.store().remember(uuid, state)
    except ImseekError as error:  # A full disk must not prevent a search.
        st.caption(f"The history could not be written: {escape_markdown(str(error))}")


def show(uuid: str, state: SearchState) -> None:
    """Draw the menu. Its contents are loaded when it is opened."""
    menu = st.popover("History", key="search-earlier", on_change="rerun", width="content")
    if not menu.open:
        return
    with menu:
        searches = page_state.store().of(uuid)
        if searches.note:
            st.text(f"⚠️ {searches.note}")
        if not state.empty:
            st.text_input(
                "Save this search as",
                key=_NAME,
                max_chars=MAX_NAME_LENGTH,
                placeholder=query_chip_data.summarise_search(state),
                on_change=_save,
                args=(uuid,),
            )
        if searches.saved:
            _draw_saved(uuid, searches)
        _history(uuid, searches)


def _draw_saved(uuid: str, searches: CollectionSearches) -> None:
    names = list(searches.saved)
    if st.session_state.get(_WHICH) not in names:
        st.session_state[_WHICH] = None
    name = st.selectbox("Saved", names, index=None, key=_WHICH, placeholder="Choose one", format_func=one_line)
    if name is None:
        return
    with st.container(horizontal=True):
        st.button(
            "Search",
            on_click=page_state.go_to,
            args=(searches.saved[name],),
            type="primary",
            key="search-again",
        )
        st.button("Delete", on_click=_delete, args=(uuid, name))
    st.text_input("New name", key=_RENAMED, max_chars=MAX_NAME_LENGTH, on_change=_rename, args=(uuid, name))


def _history(uuid: str, searches: CollectionSearches) -> None:
    st.caption("Recent searches" if searches.history else "Your searches will appear here, newest first.")
    for n, past in enumerate(searches.history[:_SHOWN]):
        st.button(
            escape_markdown(query_chip_data.summarise_search(past.state), 60),
            key=f"search-past-{n}",
            type="tertiary",
            on_click=page_state.go_to,
            args=(past.state,),
        )
    if searches.history:
        st.button("Clear history", on_click=_forget, args=(uuid,))


def _save(uuid: str) -> None:
    name = st.session_state[_NAME]
    st.session_state[_NAME] = ""
    if name.strip():
        _try(lambda: page_state.store().save(uuid, name, page_state.current().state))


def _rename(uuid: str, name: str) -> None:
    new = st.session_state[_RENAMED]
    st.session_state[_RENAMED] = ""
    if new.strip():
        _try(lambda: page_state.store().rename(uuid, name, new))


def _delete(uuid: str, name: str) -> None:
    _try(lambda: page_state.store().delete(uuid, name))


def _forget(uuid: str) -> None:
    _try(lambda: page_state.store().forget(uuid))


def _try(change: page_state.Change) -> None:
    try:
        change()
    except ImseekError as error:
        page_state.defer_error(error)
