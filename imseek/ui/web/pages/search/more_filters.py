"""The menu of further filters: for what the facet rail does not show, and for written conditions."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek import overview
from imseek.collection import Collection
from imseek.search import Facet
from imseek.ui.web.pages.search import page_state, where_conditions
from imseek.ui.web.pages.search.facets import load_facets
from imseek.ui.web.pages.search.where_conditions import Filter
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import escape_markdown, one_line
from imseek.ui.web.search_state import SearchState

#: Columns with a control of their own, here or in the rail, or for which one is useless.
_HANDLED_COLUMNS: Final = frozenset(
    {"taken_at", "folder", "format", "camera", "latitude", "longitude", "caption", "width", "height"}
    | {"keywords", "people", "rating", "has_text", "text", "text_lines"}
)
_FLAGS: Final = {"": "Any", "yes": "Yes", "no": "No"}
_WHERE: Final = "search-where"


def show(collection: Collection, state: SearchState) -> None:
    """Draw the menu. What it offers is loaded when it is opened, once per state of the collection."""
    # A different label would make it a different, closed menu.
    menu = st.popover("More filters", key="search-filters", on_change="rerun", width="content")
    if menu.open:
        with menu, errors.show_errors():
            with st.spinner("Loading filters…"):
                facets = {one.column: one for one in load_facets(collection)}
                roots = overview.source_roots(collection)
            if len(roots) > 1:
                _source(state, roots)
            _common(state, facets)
            _others(state, facets)
            _condition(state)


def _common(state: SearchState, facets: dict[str, Facet]) -> None:
    if "width" in facets:
        _range(state, "megapixels", "Megapixels", None, None)
    if "caption" in facets:
        _holds(state, "caption", "Caption contains")


def _others(state: SearchState, facets: dict[str, Facet]) -> None:
    """Draw a control for any other column, one at a time."""
    names = sorted(set(facets) - _HANDLED_COLUMNS)
    if not names:
        return
    column = st.selectbox(
        "Other metadata",
        names,
        index=None,
        key="search-other",
        placeholder="Choose one",
        format_func=lambda one: one_line(one.replace("_", " ")),
    )
    if column is None or column not in facets:
        return
    facet, label = facets[column], escape_markdown(column)
    if facet.is_flag:
        current = where_conditions.filter_on(state.where, column).true
        page_state.set_widget("search-flag", "" if current is None else "yes" if current else "no")
        st.selectbox(
            label,
            list(_FLAGS),
            key="search-flag",
            format_func=lambda one: _FLAGS[one],
            on_change=_on_flag,
            args=(column,),
        )
    elif facet.is_number and isinstance(facet.low, int | float) and isinstance(facet.high, int | float):
        _range(state, column, label, float(facet.low), float(facet.high))
    elif not facet.is_time:
        _values_or_text(state, facet, label)


def _condition(state: SearchState) -> None:
    page_state.set_widget(_WHERE, state.condition or "")
    st.text_area(
        "Only pictures where",
        key=_WHERE,
        height=90,
        placeholder="year >= 2020 AND width > 3000",
        help="A condition on the metadata, as in an SQL WHERE clause.",
        on_change=_on_condition,
    )


def _source(state: SearchState, roots: dict[int, str]) -> None:
    current = where_conditions.filter_on(state.where, "source").low
    page_state.set_widget("search-source", current if current in roots else 0)
    st.selectbox(
        "Source",
        [0, *roots],
        key="search-source",
        format_func=lambda one: one_line(roots.get(one, "")) or "Any source",
        on_change=_on_source,
    )


def _values_or_text(state: SearchState, facet: Facet, label: str) -> None:
    """Draw a choice of values, or a text search if there are too many."""
    if not facet.is_list and (facet.distinct is None or facet.distinct > len(facet.values)):
        _holds(state, facet.column, f"{label} contains")
    else:
        _choose(state, facet.column, label, facet.values)


def _choose(state: SearchState, column: str, label: str, values: tuple[tuple[str, int], ...]) -> None:
    key = f"search-values-{column}"
    current = where_conditions.filter_on(state.where, column).values
    counts = dict(values)
    page_state.set_widget(key, list(current))
    st.multiselect(
        label,
        [*counts, *(value for value in current if value not in counts)],
        key=key,
        placeholder="Any",
        format_func=lambda one: f"{one_line(one) or '(empty)'} ({counts.get(one, 0):,})",
        on_change=lambda: _apply_filter(Filter(column, tuple(st.session_state[key]))),
    )


def _holds(state: SearchState, column: str, label: str) -> None:
    key = f"search-holds-{column}"
    page_state.set_widget(key, where_conditions.filter_on(state.where, column).holds)
    st.text_input(label, key=key, on_change=lambda: _apply_filter(Filter(column, holds=st.session_state[key].strip())))


def _range(state: SearchState, column: str, label: str, low: float | None, high: float | None) -> None:
    current = where_conditions.filter_on(state.where, column)
    keys = (f"search-least-{column}", f"search-most-{column}")

    def put() -> None:
        least, most = (st.session_state[key] for key in keys)
        _apply_filter(Filter(column, low=least, high=most))

    for place, key, word, value, bound in zip(
        st.columns(2), keys, ("from", "to"), (current.low, current.high), (low, high), strict=True
    ):
        page_state.set_widget(key, value)
        place.number_input(
            f"{label} {word}",
            value=None,
            key=key,
            placeholder="" if bound is None else f"{bound:g}",
            on_change=put,
        )


def _apply_filter(new: Filter) -> None:
    state = page_state.current().state
    page_state.go_to(state.with_changes(where=where_conditions.replace_filter(state.where, new)))


def _on_source() -> None:
    source = float(st.session_state["search-source"]) or None
    _apply_filter(Filter("source", low=source, high=source))


def _on_flag(column: str) -> None:
    answer = st.session_state["search-flag"]
    _apply_filter(Filter(column, true=None if not answer else answer == "yes"))


def _on_condition() -> None:
    text = st.session_state[_WHERE].strip()
    state = page_state.current().state
    if text != (state.condition or ""):
        page_state.go_to(state.with_changes(where=(text,) if text else ()))
