"""The albums page: all albums by their covers, or one album in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from imseek import albums, tags
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types.albums import Album, AlbumInfo
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state, hit_pages, search_state, undoable_changes
from imseek.ui.web.components.grid import Card, grid
from imseek.ui.web.parts import errors, navigation, results
from imseek.ui.web.plain_text import one_line
from imseek.ui.web.undoable_changes import Change

#: URL parameter of the album that is shown.
ALBUM: Final = "album"
#: Pictures of an album in the page itself; the browser requests those that follow.
_FIRST: Final = 60


def show() -> None:
    """Draw the page."""
    name, collection = navigation.collection()
    with errors.show_errors():
        infos = albums.every(collection)
    album_name = st.query_params.get(ALBUM)
    if album_name is None:
        _show_all(name, collection, infos)
    elif any(one.name == album_name for one in infos):
        _show_one(name, collection, albums.get(collection, album_name), infos)
    else:
        st.subheader("No such album", anchor=False)
        st.text("It may have been renamed or deleted.")
        st.button("Show all albums", on_click=_open, args=(None,))


def _show_all(name: str, collection: Collection, infos: tuple[AlbumInfo, ...]) -> None:
    favourites = [image_id for (image_id, _) in tags.states(collection, [tags.FAVOURITE])]
    with st.container(horizontal=True, vertical_alignment="center", key="albums-head"):
        st.subheader("Albums", anchor=False)
        with st.popover("New album"):
            # A new field after each change, so that no name is left in it.
            to = _name_field("albums-new")
            if st.button("Create album", disabled=not to, type="primary"):
                _do([to], f"Album “{one_line(to)}” created", collection, lambda: albums.create(collection, to), to)
    if not infos and not favourites:
        st.text(
            "No albums yet. Create one here, or select pictures in a search and choose Album below; pictures can also "
            "be dragged onto an album. The heart of a picture, or the key f, makes it a favourite."
        )
        return
    covers = [_card(n, name, one.cover, one.name, one.images) for n, one in enumerate(infos)]
    if favourites:
        covers.insert(0, _card(len(infos), name, favourites[-1], "♥ Favourites", len(favourites)))
    number = grid(covers, key="albums-covers", row=180, label="Albums", selects=False).opened
    if number is None:
        return
    if number < len(infos):
        _open(infos[number].name)
        st.rerun()
    _search_in(tags.FAVOURITE)


def _show_one(name: str, collection: Collection, album: Album, infos: tuple[AlbumInfo, ...]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="albums-head"):
        st.button("‹ Albums", on_click=_open, args=(None,), key="albums-back")
        with st.container(key="albums-title"):
            st.text(one_line(album.name))
        st.caption(format_count(len(album.image_ids), "picture"), width="content")
        if album.image_ids and st.button("Search in it", key="albums-search"):
            _search_in(album.name)
        with st.popover("Rename…"):
            to = _name_field(f"albums-to-{album.name}", album.name)
            is_taken = to != album.name and any(one.name == to for one in infos)
            if is_taken:
                st.text("There is an album of this name already.")
            if st.button("Rename album", disabled=not to or to == album.name or is_taken):
                message = f"“{one_line(album.name)}” renamed to “{one_line(to)}”"
                _do([album.name, to], message, collection, lambda: albums.rename(collection, album.name, to), to)
        if st.button("Delete album", key="albums-delete", help="The pictures stay. You can undo this."):
            message = f"Album “{one_line(album.name)}” deleted"
            _do([album.name], message, collection, lambda: albums.delete(collection, album.name), None)
    if not album.image_ids:
        st.text("No pictures in it yet. Select pictures in a search and choose Album, or drag them onto it.")
        return
    _draw(name, collection, album)


@st.fragment
def _draw(name: str, collection: Collection, album: Album) -> None:
    """Draw the pictures in a fragment, since selecting some changes nothing above them."""
    first = album.image_ids[:_FIRST]
    total = len(album.image_ids)
    results.results(
        name,
        collection,
        results.hits_by_id(collection, first),
        key="albums-pictures",
        scores=False,
        following=None if total == len(first) else hit_pages.following_album(name, album.name, len(first), total),
        everything=lambda: album.image_ids,
        remembers=True,
        album=album.name,
    )


def _card(n: int, name: str, cover: int | None, title: str, images: int) -> Card:
    title, count = one_line(title), format_count(images, "picture")
    if cover is None:
        return Card(n, "", "No pictures yet", title, count)
    return Card(n, app_state.thumbnail_url(name, cover), title, title, count)


def _name_field(key: str, value: str = "") -> str:
    n = st.session_state.setdefault("albums-changes", 0)
    typed = st.text_input("Name", value, key=f"{key}-{n}", max_chars=200)
    return (typed or "").strip()


def _do(names: list[str], text: str, collection: Collection, act: Callable[[], object], next_album: str | None) -> None:
    """Change albums, so that it can be undone, and go on with the album ``next_album``, or with all."""
    try:
        change: Change = undoable_changes.edit_albums(collection, names, text, act)
    except ImseekError as error:
        errors.show_error(error)
        return
    undoable_changes.announce(change)
    st.session_state["albums-changes"] += 1
    _open(next_album)
    st.rerun()


def _open(album: str | None) -> None:
    if album is None:
        st.query_params.pop(ALBUM, None)
    else:
        st.query_params[ALBUM] = album


def _search_in(tag: str) -> None:
    query = search_state.filtered_search(f"tag({search_state.sql_literal(tag)})").parameters()
    st.switch_page(navigation.page("search"), query_params=query)
