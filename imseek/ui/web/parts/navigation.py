"""Links to pages by their names, and the collection that the pages are about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from imseek.collection import Collection
from imseek.ui.web.app_state import current_app
from imseek.ui.web.parts.errors import show_errors
from imseek.ui.web.plain_text import escape_markdown

#: The collection in the URL: ``?c=NAME``.
COLLECTION_KEY: Final = "c"
#: A page's name is its path in the URL; that of the first one is empty.
PageName: TypeAlias = Literal["search", "albums", "duplicates", "map", "labels", "collections"]
FIRST_PAGE: Final[PageName] = "search"
_NEXT: Final = "next collection"
_MISSING: Final = "missing collection"
#: Maximum number of collections listed where one is missing.
_LISTED: Final = 30


def _draw_nothing() -> None:
    """Stand in for a page where it is not drawn, but linked to."""


def page(name: PageName, draw: Callable[[], None] = _draw_nothing) -> StreamlitPage:
    """Return a page by its name, for links to it.

    Streamlit knows a page by its path in the URL. So ``draw`` matters only in the shell, which runs it.
    """
    return st.Page(draw, title=title(name), url_path=name, default=name == FIRST_PAGE)


def title(name: PageName) -> str:
    """Return a page's name as people read it."""
    return name.capitalize()


def choose_collection() -> str | None:
    """Choose the collection of this run, and return its name: the one in the URL, the one before, or the first.

    If the URL names one that does not exist, none is chosen (:func:`missing_collection`): another one in its place
    might be taken for it.
    """
    names = [one.name for one in current_app().collections()]
    following = st.session_state.pop(_NEXT, None)
    if following in names:
        switch(following)
    url_name = st.query_params.get(COLLECTION_KEY)
    before = st.session_state.get(COLLECTION_KEY)
    name = url_name or (before if before in names else next(iter(names), None))
    current = name if name in names else None
    st.session_state[COLLECTION_KEY] = current
    st.session_state[_MISSING] = name if name is not None and current is None and names else None
    return current


def choose(name: str) -> None:
    """Choose the collection for the next run of the page, if one of that name exists by then."""
    st.session_state[_NEXT] = name


def switch(name: str) -> None:
    """Choose the collection now, in the URL: keep the words, drop ids, filters and pages, which belong to the old one.

    Call it before the page runs: in a callback, or before a rerun.
    """
    words = {key: values for key in ("q", "not") if (values := st.query_params.get_all(key))}
    st.query_params.from_dict({COLLECTION_KEY: [name], **words})


def collection_name() -> str | None:
    """Return the name of the collection of this run, None without one."""
    name: str | None = st.session_state.get(COLLECTION_KEY)
    return name


def missing_collection() -> str | None:
    """Return the name in the URL if no collection has it, although there are others."""
    name: str | None = st.session_state.get(_MISSING)
    return name


def collection() -> tuple[str, Collection]:
    """Return name and collection as chosen. Without any, the page says what to do and ends here."""
    name = collection_name()
    if name is None:
        if (missing := missing_collection()) is not None:
            show_missing(missing)
            _offer_others()
        else:
            st.header("No collection yet", anchor=False)
            st.text("A collection makes the pictures in your folders searchable. The pictures stay where they are.")
            _to_collections("Create a collection")
        st.stop()
    with show_errors():
        return name, current_app().open(name)
    raise AssertionError("unreachable")


def show_missing(name: str) -> None:
    """Say that no collection has this name, and list the others."""
    st.header(f"No collection “{escape_markdown(name, 80)}”", anchor=False)
    st.text("It may have been renamed or deleted. Choose another:")


def _offer_others() -> None:
    with st.container(horizontal=True, gap="small", key="shell-others"):
        for n, one in enumerate(current_app().collections()[:_LISTED]):
            st.button(escape_markdown(one.name), key=f"shell-other-{n}", on_click=switch, args=(one.name,))


def no_pictures(why: str) -> None:
    """Say that the collection is empty, and ``why`` the page needs images."""
    st.subheader("No pictures yet", anchor=False)
    st.text(why)
    _to_collections("Add pictures")


def _to_collections(label: str) -> None:
    with st.container(key="shell-first", width="content"):
        st.page_link(page("collections"), label=label, query_params=_query())


def _query() -> dict[str, str] | None:
    name = collection_name()
    return None if name is None else {COLLECTION_KEY: name}
