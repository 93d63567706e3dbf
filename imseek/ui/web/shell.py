"""The frame of every page: which page, which collection, and what is said where something fails."""

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
from imseek.ui.web.asked import SMALL
from imseek.ui.web.components.address import address
from imseek.ui.web.hub import hub
from imseek.ui.web.plain import capitalised

#: The collection in the address: ``?c=NAME``.
CHOSEN: Final = "c"
_NEXT: Final = "next collection"
#: Streamlit leaves much room around pages that are full of pictures.
_STYLE: Final = """<style>
.stMainBlockContainer { padding: 3.75rem clamp(0.75rem, 2vw, 2.5rem) 2rem; }
[data-testid="stLayoutWrapper"]:has(> .st-key-shell-address) { position: absolute; }
.st-key-shell-first a { border: 1px solid currentColor; padding: 0.4rem 0.8rem; }
[data-testid="stSidebarHeader"] { height: 3rem; margin-bottom: 0; }
</style>"""
_log = logging.getLogger("imseek.ui")


# Pages are imported when they are first seen: most need more than the first.
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
    """The page that the address names."""
    st.set_page_config(page_title="imseek", page_icon="🔎", layout="wide", menu_items={})
    st.html(_STYLE)
    chosen = st.navigation([page(name) for name in PAGES], position="top")
    _pick()
    chosen.run()


def choose(name: str) -> None:
    """The chosen collection from the next run of the page on, where there is one of that name by then."""
    st.session_state[_NEXT] = name


def page(name: str) -> StreamlitPage:
    """One of :data:`PAGES`, for links to it."""
    return st.Page(PAGES[name], title=name.capitalize(), url_path=name, default=name == "search")


def collection() -> tuple[str, Collection]:
    """The chosen collection by its name, open. Where there is none, the page says what to do and ends here."""
    name = st.session_state.get(CHOSEN)
    if name is None:
        st.header("No collection yet", anchor=False)
        st.text("A collection is what imseek knows about a folder of pictures. Make one, and search it.")
        _to_collections("Make a collection")
        st.stop()
    with told():
        return name, hub().open(name)
    raise AssertionError("unreachable")


def no_pictures(why: str) -> None:
    """What a page says of a collection without pictures; ``why`` it needs some."""
    st.subheader("No pictures yet", anchor=False)
    st.text(why)
    _to_collections("Add pictures")


@contextmanager
def told() -> Iterator[None]:
    """What imseek refuses is shown where it happens, with what to do next; the page ends there."""
    try:
        yield
    except ImseekError as error:
        refused(error)
        st.stop()


def refused(error: ImseekError) -> None:
    """A refusal as text: messages name files, whose names are anybody's."""
    with st.container(border=True):
        st.text(f"⚠️ {capitalised(str(error))}")
        if error.hint:
            st.text(error.hint if error.hint.startswith("imseek ") else capitalised(error.hint))


def on_error(error: Exception) -> bool:
    """For what nobody expected: the traceback goes to the terminal, the page gets a number to find it by."""
    number = secrets.token_hex(4)
    _log.error("error %s", number, exc_info=error)
    st.error(
        f"Something went wrong (error {number}). The terminal of `imseek ui` says more. Reload the page to go on."
    )
    return True


def _to_collections(label: str) -> None:
    with st.container(key="shell-first", width="content"):
        st.page_link(page("collections"), label=label)


def _pick() -> None:
    names = [one.name for one in hub().collections()]
    following = st.session_state.pop(_NEXT, None)
    if following in names:
        st.session_state[CHOSEN] = following
    if not names:
        st.session_state.pop(CHOSEN, None)
        return
    asked = st.query_params.get(CHOSEN)
    if asked in names:  # Also where Back has led to an earlier one.
        st.session_state[CHOSEN] = asked
    elif st.session_state.get(CHOSEN) not in names:
        st.session_state[CHOSEN] = names[0]
    if len(names) == 1:  # Nothing to choose: the pictures get the room.
        st.session_state[CHOSEN] = names[0]
        with st.container(key="shell-address"):
            address(names[0], SMALL)
        return
    with st.sidebar:
        st.selectbox("Collection", names, key=CHOSEN, on_change=_picked)
        address(st.session_state[CHOSEN], SMALL)


def _picked() -> None:
    """Words are asked of the other collection too; ids, dropped filters and pages are those of the one before."""
    kept = {name: st.query_params.get_all(name) for name in ("q", "not")}
    query = {CHOSEN: [st.session_state[CHOSEN]], **{name: values for name, values in kept.items() if values}}
    st.query_params.from_dict(query)
