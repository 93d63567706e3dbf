"""Frame of every page: the menu of pages, the choice of the collection, and unexpected errors."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

import streamlit as st

from imseek.ui.web.app_state import current_app
from imseek.ui.web.components.address import address
from imseek.ui.web.parts import navigation
from imseek.ui.web.search_state import MINOR_PARAMETERS

#: Streamlit's margins are too wide for pages full of pictures.
_STYLE: Final = """<style>
.stMainBlockContainer { padding: 3.75rem clamp(0.75rem, 2vw, 2.5rem) 2rem; }
[data-testid="stLayoutWrapper"]:has(> .st-key-shell-address) { position: absolute; }
.st-key-shell-first a { border: 1px solid currentColor; padding: 0.4rem 0.8rem; }
[data-testid="stSidebarHeader"] { height: 3rem; margin-bottom: 0; }
</style>"""
_log = logging.getLogger("imseek.ui")


# Pages are imported on first use: most need more modules than the first one.
def _search() -> None:
    from imseek.ui.web.pages import search

    search.show()


def _duplicates() -> None:
    from imseek.ui.web.pages import duplicates

    duplicates.show()


def _map() -> None:
    from imseek.ui.web.pages import map as map_page

    map_page.show()


def _labels() -> None:
    from imseek.ui.web.pages import labels

    labels.show()


def _collections() -> None:
    from imseek.ui.web.pages import collections

    collections.show()


PAGES: Final[dict[navigation.PageName, Callable[[], None]]] = {
    "search": _search,
    "duplicates": _duplicates,
    "map": _map,
    "labels": _labels,
    "collections": _collections,
}


def show() -> None:
    """Draw the page that the URL names."""
    st.set_page_config(page_title="imseek", page_icon="🔎", layout="wide", menu_items={})
    st.html(_STYLE)
    chosen = st.navigation([navigation.page(name, draw) for name, draw in PAGES.items()], position="top")
    _choose_collection()
    chosen.run()


def on_error(error: Exception) -> bool:
    """Handle an unexpected error: log the traceback, and show a number on the page to find it by."""
    number = secrets.token_hex(4)
    _log.error("error %s", number, exc_info=error)
    st.error(f"Something went wrong (error {number}). The terminal of `imseek ui` says more. Reload the page to go on.")
    return True


def _choose_collection() -> None:
    names = [one.name for one in current_app().collections()]
    following = navigation.pop_choice()
    if following in names:
        st.session_state[navigation.COLLECTION_KEY] = following
    if not names:
        st.session_state.pop(navigation.COLLECTION_KEY, None)
        return
    asked = st.query_params.get(navigation.COLLECTION_KEY)
    if asked in names:  # Also after the browser's Back.
        st.session_state[navigation.COLLECTION_KEY] = asked
    elif st.session_state.get(navigation.COLLECTION_KEY) not in names:
        st.session_state[navigation.COLLECTION_KEY] = names[0]
    if len(names) == 1:  # Nothing to choose: no sidebar, more room for pictures.
        st.session_state[navigation.COLLECTION_KEY] = names[0]
        with st.container(key="shell-address"):
            address(names[0], MINOR_PARAMETERS)
        return
    with st.sidebar:
        st.selectbox("Collection", names, key=navigation.COLLECTION_KEY, on_change=_on_collection_change)
        address(st.session_state[navigation.COLLECTION_KEY], MINOR_PARAMETERS)


def _on_collection_change() -> None:
    """Keep the words for the new collection, and drop ids, filters and pages, which belong to the old one."""
    kept = {name: st.query_params.get_all(name) for name in ("q", "not")}
    query = {
        navigation.COLLECTION_KEY: [st.session_state[navigation.COLLECTION_KEY]],
        **{name: values for name, values in kept.items() if values},
    }
    st.query_params.from_dict(query)
