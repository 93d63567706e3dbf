"""Frame of every page: the top bar, the choice of the collection, and unexpected errors."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from imseek.errors import ImseekError
from imseek.overview import read_state
from imseek.ui.web import undoable_changes
from imseek.ui.web.app_state import current_app, images_url
from imseek.ui.web.components import component
from imseek.ui.web.components.address import address
from imseek.ui.web.pages.search import page_state, search_box
from imseek.ui.web.parts import navigation, viewer
from imseek.ui.web.search_state import MINOR_PARAMETERS
from imseek.ui.web.status_route import STATE_PATH

_SWITCHER: Final = "shell-switcher"
#: In the session: the page and the collection for which the bar was drawn last.
_BAR: Final = "shell-bar"
_ANNOUNCEMENTS: Final = "announcements"
_ICONS: Final[dict[navigation.PageName, str]] = {
    "search": "search",
    "albums": "photo_album",
    "duplicates": "filter_none",
    "map": "scatter_plot",
    "labels": "label",
    "collections": "photo_library",
}
_log = logging.getLogger("imseek.ui")


# Pages are imported on first use: most need more modules than the first one.
def _search() -> None:
    from imseek.ui.web.pages import search

    search.show()


def _albums() -> None:
    from imseek.ui.web.pages import albums

    albums.show()


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
    "albums": _albums,
    "duplicates": _duplicates,
    "map": _map,
    "labels": _labels,
    "collections": _collections,
}


def show() -> None:
    """Draw the page that the URL names."""
    name = navigation.choose_collection()
    st.set_page_config(
        page_title=f"{name} · imseek" if name else "imseek", page_icon="🔎", layout="wide", menu_items={}
    )
    pages = {name: navigation.page(name, draw) for name, draw in PAGES.items()}
    current_page = st.navigation([*pages.values()], position="hidden")
    search_box.follow_submission()
    draw_bar = _bar(pages, current_page)
    # If the bar is on the page already, results are drawn first: it changes little, and takes half as long as a search.
    is_last = current_page == pages[navigation.FIRST_PAGE] and st.session_state.get(_BAR) == _about_bar(current_page)
    if not is_last:
        draw_bar()
    page_state.show_deferred_error()
    try:
        current_page.run()
    finally:
        if is_last:
            draw_bar()
    if (name := navigation.collection_name()) is not None and current_page != pages[navigation.FIRST_PAGE]:
        viewer.restore_viewer(name)


def on_error(error: Exception) -> bool:
    """Handle an unexpected error: log the traceback, and show a number on the page to find it by."""
    number = secrets.token_hex(4)
    _log.error("error %s", number, exc_info=error)
    st.error(f"Something went wrong (error {number}). The terminal of `imseek ui` says more. Reload the page to go on.")
    return True


def _bar(pages: dict[navigation.PageName, StreamlitPage], current_page: StreamlitPage) -> Callable[[], None]:
    """Make room for the top bar, and return what draws it.

    On phones, CSS moves its links to the bottom of the window.
    """
    shell = st.container(key="shell", horizontal=True, vertical_alignment="center", gap=None, wrap=False)
    announcement_slot = st.container(key="shell-changes")
    address_slot = st.container(key="shell-address")

    def draw() -> None:
        name, missing = navigation.collection_name(), navigation.missing_collection()
        with shell:
            _draw_bar(pages, current_page, name, missing)
        with announcement_slot:
            component("announcements", "common", "changes")(
                key=_ANNOUNCEMENTS,
                data={
                    "changes": undoable_changes.announcements(),
                    "base": None if name is None else images_url(name),
                    # These pages show data that is changed elsewhere on the page.
                    "renews": current_page in (pages["albums"], pages["labels"]),
                },
                on_undone_change=_on_undoing,
                on_renew_change=_on_renewal,
            )
        with address_slot:
            address(name or missing or "", MINOR_PARAMETERS)
        st.session_state[_BAR] = _about_bar(current_page)

    return draw


def _about_bar(current_page: StreamlitPage) -> tuple[str | None, ...]:
    """Return what the bar is drawn for: its links lead to this collection, its search box searches from this page."""
    return current_page.url_path, navigation.collection_name(), navigation.missing_collection()


def _draw_bar(
    pages: dict[navigation.PageName, StreamlitPage], current_page: StreamlitPage, name: str | None, missing: str | None
) -> None:
    names = [one.name for one in current_app().collections()]
    images = None if name is None else _count_images(name)
    component("shell", "watch_app")(
        key=_SWITCHER,
        data={
            "part": "switcher",
            "collection": name or missing or "",
            "missing": missing is not None,
            "collections": names,
            "images": images,
            "state": STATE_PATH,
        },
        on_chosen_change=_on_choice,
        on_renew_change=_on_renewal,
    )
    with st.container(key="shell-search", horizontal=True, gap=None, wrap=False):
        if images is not None and name is not None:
            search_box.show(name, is_search_page=current_page == pages[navigation.FIRST_PAGE])
    with st.container(key="shell-pages", horizontal=True, gap=None, wrap=False):
        query = {navigation.COLLECTION_KEY: name or missing or ""}
        for page_name, page in pages.items():
            st.page_link(
                page,
                label=navigation.title(page_name),
                icon=f":material/{_ICONS[page_name]}:",
                query_params=query if names else None,
            )
    component("shell", "watch_app")(
        key="shell-tasks",
        data={"part": "tasks", "state": STATE_PATH},
        on_chosen_change=_on_choice,
        on_renew_change=_on_renewal,
    )


def _count_images(name: str) -> int | None:
    """Return the number of images, None if the collection's smallest file cannot be read: the page says why."""
    try:
        return read_state(next(one.path for one in current_app().collections() if one.name == name)).images
    except ImseekError:
        return None


def _on_choice() -> None:
    choice = st.session_state[_SWITCHER].chosen
    if choice is not None:
        navigation.switch(str(choice))


def _on_undoing() -> None:
    """Undo a change that a page has made, before the page is drawn again."""
    token = st.session_state[_ANNOUNCEMENTS].undone
    if token is None:
        return
    try:
        undoable_changes.change_log.undo(str(token))
    except ImseekError as error:
        page_state.defer_error(error)


def _on_renewal() -> None:
    """Do nothing: the rerun itself is needed, since the session or the collection has changed."""
