"""Links to pages by their names, and the collection that the pages are about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from imseek.collection import Collection
from imseek.ui.web.app_state import current_app
from imseek.ui.web.parts.errors import show_errors

#: The collection in the URL: ``?c=NAME``.
COLLECTION_KEY: Final = "c"
#: A page's name is its path in the URL; that of the first one is empty.
PageName: TypeAlias = Literal["search", "duplicates", "map", "labels", "collections"]
FIRST_PAGE: Final = "search"
_NEXT: Final = "next collection"


def _draw_nothing() -> None:
    """Stand in for a page where it is not drawn, but linked to."""


def page(name: PageName, draw: Callable[[], None] = _draw_nothing) -> StreamlitPage:
    """Return a page by its name, for links to it.

    Streamlit knows a page by its path in the URL. So ``draw`` matters only in the shell, which runs it.
    """
    return st.Page(draw, title=name.capitalize(), url_path=name, default=name == FIRST_PAGE)


def choose(name: str) -> None:
    """Choose the collection for the next run of the page, if one of that name exists by then."""
    st.session_state[_NEXT] = name


def pop_choice() -> str | None:
    """Return the name given to :func:`choose` since the last run."""
    name: str | None = st.session_state.pop(_NEXT, None)
    return name


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


def _to_collections(label: str) -> None:
    with st.container(key="shell-first", width="content"):
        st.page_link(page("collections"), label=label)
