"""The map page: choice of map and colours, the map, and what is selected on it."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek import maps
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.maps.results import MapInfo
from imseek.types.collection_info import CollectionInfo
from imseek.ui.web import app_state, blobs
from imseek.ui.web.components.scatter import ColourData, Lasso, scatter
from imseek.ui.web.pages.map import colours, layout_job, map_points, selection
from imseek.ui.web.pages.map.colours import ColourBy
from imseek.ui.web.pages.map.map_points import MapView
from imseek.ui.web.parts import errors, navigation, viewer
from imseek.ui.web.plain_text import one_line

#: URL parameters.
_MAP: Final = "map"
_COLOUR: Final = "colour"
_WORDS: Final = "words"
_TAG: Final = "tag"
_WHERE: Final = "only"
#: In the session: the view that was drawn last.
_DRAWN: Final = "map-drawn"


def show() -> None:
    """Draw the page."""
    name, collection = navigation.collection()
    root = collection.path
    # In containers that are always there: if the place of the map changed, Streamlit would make a second one.
    with st.container(key="map-job"):
        layout_job.show_outcome()
        if layout_job.is_running(root):
            layout_job.show_progress(root)
    with errors.show_errors():
        infos = {info.name: info for info in maps.maps(collection)}
        info = collection.info()
    if not infos:
        if not layout_job.is_running(root):
            _first(collection, info.images)
        return
    map_name, by, where = _choose_view(collection, infos, info)
    with st.container(key="map-state"):
        _state(collection, infos[map_name], info)
    _map(name, collection, map_name, where, by)


def _first(collection: Collection, images: int) -> None:
    if not images:
        navigation.no_pictures("Add pictures to see them on a map.")
        return
    st.subheader("No map yet", anchor=False)
    st.text(
        f"A map shows all {images:,} pictures at once: those that look alike lie together. It is laid out once and "
        "stays; pictures that come later are placed among the others."
    )
    layout_job.show_form(collection.path, images, key="map-first")


def _choose_view(
    collection: Collection, infos: dict[str, MapInfo], info: CollectionInfo
) -> tuple[str, ColourBy, str | None]:
    """Draw the controls above the map and return map, colours and condition, which are in the URL too."""
    with errors.show_errors():
        ways = {one.written: one for one in colours.choices(collection)}
    by_hand = ways.get(_chosen_colour(ways), ColourBy("none")).kind in ("words", "tags")
    several = len(infos) > 1
    widths = [*([1.2] if several else []), 1.2, *([1.5] if by_hand else []), 2.5, 0.7]
    columns = iter(st.columns(widths, vertical_alignment="center"))
    first = "umap" if "umap" in infos else next(iter(infos))
    names = sorted(infos, key=lambda one: (one != first, one))
    map_name = names[0]
    if several:
        map_name = next(columns).selectbox(
            "Map",
            names,
            key=_MAP,
            bind="query-params",
            format_func=lambda one: f"{infos[one].name} ({infos[one].method.upper()})",
            label_visibility="collapsed",
        )
    colour = next(columns).selectbox(
        "Colours",
        list(ways),
        key=_COLOUR,
        bind="query-params",
        format_func=lambda one: ways[one].title,
        label_visibility="collapsed",
    )
    by = ways[colour]
    if by.kind == "words":
        words = next(columns).text_input(
            "Words",
            key=_WORDS,
            bind="query-params",
            placeholder="What do the brightest show?",
            label_visibility="collapsed",
        )
        by = ColourBy("words", words.strip())
    elif by.kind == "tags":
        with next(columns):
            by = ColourBy("tags", _tag(collection))
    where = (
        next(columns)
        .text_input(
            "Only pictures where",
            key=_WHERE,
            bind="query-params",
            placeholder="Only pictures where … year = 2023 AND width > 3000",
            label_visibility="collapsed",
        )
        .strip()
    )
    with next(columns):
        _about_map(collection, infos[map_name], info)
    return map_name, by, where or None


def _chosen_colour(ways: dict[str, ColourBy]) -> str:
    """Return the coming value of the colour widget before it is drawn; the URL holds the titles of its choices."""
    choice = st.session_state.get(_COLOUR)
    title = st.query_params.get(_COLOUR)
    return str(choice or next((one for one, by in ways.items() if by.title == title), "none"))


def _tag(collection: Collection) -> str:
    from imseek import tags

    names = ["", *(one.tag for one in tags.counts(collection))]
    return st.selectbox(
        "Tag",
        names,
        key=_TAG,
        format_func=lambda one: one_line(one, 60) if one else "The most common tag of each picture",
        label_visibility="collapsed",
    )


def _state(collection: Collection, info: MapInfo, collection_info: CollectionInfo) -> None:
    """Show what is outdated about a map, and the actions that fix it."""
    root = collection.path
    if layout_job.is_running(root):
        return
    if info.fingerprint != collection_info.encoder.fingerprint:
        st.warning(
            "The pictures were encoded anew since this map was laid out: it shows how alike they were before. "
            "Rebuild it below."
        )
    elif missing := map_points.count_missing(map_points.current_view(root, info.name, None)):
        with st.container(horizontal=True, vertical_alignment="center"):
            arrivals = "1 picture came" if missing == 1 else f"{missing:,} pictures came"
            st.text(
                f"{arrivals} after this map was laid out. To place them takes {layout_job.describe_placing(missing)}."
            )
            if st.button("Place them", key="map-place"):
                with errors.show_errors():
                    layout_job.start(root, f"Placing {missing:,} among the others", ["--name", info.name])
                st.rerun()


def _about_map(collection: Collection, info: MapInfo, collection_info: CollectionInfo) -> None:
    """Draw what is known about a map, and what can be done with it."""
    if layout_job.is_running(collection.path):
        return
    with st.popover("This map", width="stretch"):
        st.text(_about(info))
        again, other, no_more = st.tabs(["Rebuild", "Another map", "Delete it"])
        with again:
            layout_job.show_form(collection.path, collection_info.images, key="map-again", name=info.name, again=True)
        with other:
            layout_job.show_form(collection.path, collection_info.images, key="map-other", name=f"{info.name[:20]}_2")
        with no_more:
            st.text("Pictures, tags and clusters stay; only their positions on this map are deleted.")
            if st.button("Delete this map", key="map-forget"):
                with errors.show_errors():
                    maps.drop(collection, info.name)
                st.rerun()


def _about(info: MapInfo) -> str:
    parts = [f"{info.fitted:,} pictures laid out by {info.method.upper()} on {info.created[:10]}"]
    if info.placed:
        parts.append(f"{info.placed:,} placed among them since")
    if info.where:
        parts.append(f"only where {info.where}")
    if info.trustworthiness is not None:
        parts.append(
            f"trustworthiness {info.trustworthiness:.2f} (1: neighbours on the map look most alike; random: 0.5)"
        )
    return one_line("; ".join(parts), 600)


@st.fragment
def _map(name: str, collection: Collection, map_name: str, where: str | None, by: ColourBy) -> None:
    """Draw the map and what is selected on it, in a fragment: a selection reruns only this."""
    try:
        view = map_points.current_view(collection.path, map_name, where)
        points = map_points.load_points(view)
    except ImseekError as error:
        errors.show_error(error)
        return
    try:
        coloured = _load_colours(collection, view, by)
    except ImseekError as error:
        errors.show_error(error)
        coloured = colours.colours(view, ColourBy("none"))
    if len(points.ids) < points.total:
        st.text(f"{len(points.ids):,} of {points.total:,} pictures, of all parts of the map.")
    current_selection = selection.Selection.of(collection.uuid, view.name)

    def drawn() -> None:
        st.session_state[_DRAWN] = view

    def gone() -> None:
        map_points.clear_cache()
        colours.clear_cache()

    def lassoed(lasso: Lasso) -> None:
        current_selection.take(points, lasso)

    with st.container(key="map-points"):
        opened_id = scatter(
            points.points,
            coloured,
            images=app_state.images_url(name),
            names=blobs.names_url(name),
            selected=current_selection.marks(points),
            regions=_regions(view, by, is_drawn=st.session_state.get(_DRAWN) == view),
            key=f"map-{collection.uuid}",
            on_lasso=lassoed,
            on_toggle=current_selection.toggle,
            on_clear=current_selection.clear,
            on_gone=gone,
            on_drawn=drawn,
        )
    # A container that always exists: without it, later elements would take its place for a moment, or it would stay.
    with st.container(key="map-large"), errors.show_errors():
        if opened_id is not None:
            viewer.open_viewer(name, collection, opened_id, key="map-viewer")
    selection.show_selection(name, collection, view, current_selection)


def _regions(view: MapView, by: ColourBy, *, is_drawn: bool) -> ColourData | None:
    try:
        return colours.regions(view, by, at_once=not is_drawn)
    except ImseekError:  # The clusters were dropped meanwhile: the map goes without names.
        return None


def _load_colours(collection: Collection, view: MapView, by: ColourBy) -> ColourData:
    if by.kind != "words":
        return colours.colours(view, by)
    if not by.what:
        return colours.colours(view, ColourBy("none"))
    with st.spinner("Comparing the pictures with these words; the first words take longer …"):
        return colours.by_words(collection, view, by.what)
