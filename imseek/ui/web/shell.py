"""Frame of every page: navigation, choice of the collection, and display of errors."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.ui.web.app_state import current_app
from imseek.ui.web.components.address import address
from imseek.ui.web.plain_text import capitalise
from imseek.ui.web.search_state import MINOR_PARAMETERS

#: The collection in the URL: ``?c=NAME``.
COLLECTION_KEY: Final = "c"
_NEXT: Final = "next collection"
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


PAGES: Final[dict[str, Callable[[], None]]] = {
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
    chosen = st.navigation([page(name) for name in PAGES], position="top")
    _choose_collection()
    chosen.run()


def choose(name: str) -> None:
    """Choose the collection for the next run of the page, if one of that name exists by then."""
    st.session_state[_NEXT] = name


def page(name: str) -> StreamlitPage:
    """Return one of :data:`PAGES`, for links to it."""
    return st.Page(PAGES[name], title=name.capitalize(), url_path=name, default=name == "search")


def collection() -> tuple[str, Collection]:
    """Return name and collection as chosen. Without any, the page says what to do and ends here."""
    name = st.session_state.get(COLLECTION_KEY)
    if name is None:
        st.header("No collection yet", anchor=False)
        st.text("A collection is what imseek knows about a folder of pictures. Make one, and search it.")
        _to_collections("Make a collection")
        st.stop()
    with show_errors():
        return name, current_app().open(name)
    raise AssertionError("unreachable")


def no_pictures(why: str) -> None:
    """Say that the collection is empty, and ``why`` the page needs images."""
    st.subheader("No pictures yet", anchor=False)
    st.text(why)
    _to_collections("Add pictures")


@contextmanager
def show_errors() -> Iterator[None]:
    """Show errors of imseek in place, with their hints, and end the page there."""
    try:
        yield
    except ImseekError as error:
        show_error(error)
        st.stop()


def show_error(error: ImseekError) -> None:
    """Show an error as plain text: messages name files, whose names are untrusted."""
    with st.container(border=True):
        st.text(f"⚠️ {capitalise(str(error))}")
        if error.hint:
            st.text(error.hint if error.hint.startswith("imseek ") else capitalise(error.hint))


def on_error(error: Exception) -> bool:
    """Handle an unexpected error: log the traceback, and show a number on the page to find it by."""
    number = secrets.token_hex(4)
    _log.error("error %s", number, exc_info=error)
    st.error(
        f"Something went wrong (error {number}). The terminal of `imseek ui` says more. Reload the page to go on."
    )
    return True


def _to_collections(label: str) -> None:
    with st.container(key="shell-first", width="content"):
        st.page_link(page("collections"), label=label)


def _choose_collection() -> None:
    names = [one.name for one in current_app().collections()]
    following = st.session_state.pop(_NEXT, None)
    if following in names:
        st.session_state[COLLECTION_KEY] = following
    if not names:
        st.session_state.pop(COLLECTION_KEY, None)
        return
    asked = st.query_params.get(COLLECTION_KEY)
    if asked in names:  # Also after the browser's Back.
        st.session_state[COLLECTION_KEY] = asked
    elif st.session_state.get(COLLECTION_KEY) not in names:
        st.session_state[COLLECTION_KEY] = names[0]
    if len(names) == 1:  # Nothing to choose: no sidebar, more room for pictures.
        st.session_state[COLLECTION_KEY] = names[0]
        with st.container(key="shell-address"):
            address(names[0], MINOR_PARAMETERS)
        return
    with st.sidebar:
        st.selectbox("Collection", names, key=COLLECTION_KEY, on_change=_on_collection_change)
        address(st.session_state[COLLECTION_KEY], MINOR_PARAMETERS)


def _on_collection_change() -> None:
    """Keep the words for the new collection, and drop ids, filters and pages, which belong to the old one."""
    kept = {name: st.query_params.get_all(name) for name in ("q", "not")}
    query = {
        COLLECTION_KEY: [st.session_state[COLLECTION_KEY]],
        **{name: values for name, values in kept.items() if values},
    }
    st.query_params.from_dict(query)
