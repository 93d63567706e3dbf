"""The filter menu: controls for metadata columns in place of written conditions."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

import streamlit as st

from imseek import overview, tags
from imseek.collection import Collection
from imseek.search import Facet
from imseek.ui.web.pages.search import filters, page_state
from imseek.ui.web.pages.search.filters import Filter
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import escape_markdown, one_line
from imseek.ui.web.search_state import SearchState

_EARLIEST: Final = date(1826, 1, 1)  # The oldest surviving photograph.
_LATEST: Final = date(2200, 1, 1)
#: Columns with a control of their own, or for which one is useless.
_HANDLED_COLUMNS: Final = frozenset(
    {"taken_at", "folder", "format", "camera", "latitude", "longitude", "caption", "width", "height"}
    | {"keywords", "people", "has_text", "text", "text_lines"}
)
_SHAPES: Final = {"": "Any shape", "landscape": "Landscape", "portrait": "Portrait", "square": "Square"}
_FLAGS: Final = {"": "Any", "yes": "Yes", "no": "No"}
_WHERE: Final = "search-where"


def show(collection: Collection, asked: SearchState) -> None:
    """Draw the menu. What it offers is loaded when it is opened, once per state of the collection."""
    # A different label would make it a different, closed menu.
    menu = st.popover("Filters", key="search-filters", on_change="rerun", width="content")
    if menu.open:
        with menu, errors.show_errors():
            with st.spinner("Loading filters…"):
                known = {one.column: one for one in load_facets(collection)}
                tagged = tuple((one.tag, one.images) for one in tags.counts(collection))
                roots = overview.source_roots(collection)
            if len(roots) > 1:
                _source(asked, roots)
            _common(asked, known, tagged)
            _others(asked, known)
            _condition(asked)


def load_facets(collection: Collection) -> tuple[Facet, ...]:
    """Return the facets of the collection's columns now."""
    current = overview.read_state(collection.path)
    return _facets(collection.path, current.uuid, current.generation)


@lru_cache(8)
def _facets(path: Path, uuid: str, generation: int) -> tuple[Facet, ...]:
    """Return the facets of one generation. ``uuid`` tells collections apart that lie at the same path in turn."""
    return overview.facets(path)


def _common(asked: SearchState, known: dict[str, Facet], tagged: tuple[tuple[str, int], ...]) -> None:
    if (taken := known.get("taken_at")) is not None:
        _days(asked, taken)
    if (folders := known.get("folder")) is not None and (folders.distinct or 2) > 1:
        _values_or_text(asked, folders, "Folder")
    for column, label in (("keywords", "Keyword"), ("people", "Person")):
        if column in known and known[column].is_list:
            _values_or_text(asked, known[column], label)
    if tagged:
        _choose(asked, filters.TAG, "Tag", tagged)
    if "has_text" in known:
        _set_widget("search-has-text", filters.filter_on(asked.where, "has_text").true is True)
        st.toggle("Has text", key="search-has-text", on_change=_on_has_text, help="Only pictures that contain text.")
    for column, label in (("format", "Format"), ("camera", "Camera")):
        if column in known and (known[column].distinct or 2) > 1:
            _values_or_text(asked, known[column], label)
    if "width" in known:
        now = filters.filter_on(asked.where, "aspect")
        shape = next((name for name, one in filters.SHAPES.items() if one == (now.low, now.high)), "")
        _set_widget("search-shape", shape)
        st.selectbox(
            "Shape",
            list(_SHAPES),
            key="search-shape",
            format_func=lambda one: _SHAPES[one],
            on_change=_on_shape,
        )
        _range(asked, "megapixels", "Megapixels", None, None)
    if "latitude" in known:
        _set_widget("search-place", filters.filter_on(asked.where, "latitude").known)
        st.toggle(f"With a location ({known['latitude'].known:,})", key="search-place", on_change=_on_place)
    if "caption" in known:
        _holds(asked, "caption", "Caption contains")


def _others(asked: SearchState, known: dict[str, Facet]) -> None:
    """Draw a control for any other column, one at a time."""
    names = sorted(set(known) - _HANDLED_COLUMNS)
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
    if column is None or column not in known:
        return
    facet, label = known[column], escape_markdown(column)
    if facet.is_flag:
        now = filters.filter_on(asked.where, column).true
        _set_widget("search-flag", "" if now is None else "yes" if now else "no")
        st.selectbox(
            label,
            list(_FLAGS),
            key="search-flag",
            format_func=lambda one: _FLAGS[one],
            on_change=_on_flag,
            args=(column,),
        )
    elif facet.is_number and isinstance(facet.low, int | float) and isinstance(facet.high, int | float):
        _range(asked, column, label, float(facet.low), float(facet.high))
    elif not facet.is_time:
        _values_or_text(asked, facet, label)


def _condition(asked: SearchState) -> None:
    _set_widget(_WHERE, asked.condition or "")
    st.text_area(
        "Only pictures where",
        key=_WHERE,
        height=90,
        placeholder="year >= 2020 AND width > 3000",
        help="A condition on the metadata, as in an SQL WHERE clause.",
        on_change=_on_condition,
    )


def _source(asked: SearchState, roots: dict[int, str]) -> None:
    now = filters.filter_on(asked.where, "source").low
    _set_widget("search-source", now if now in roots else 0)
    st.selectbox(
        "Source",
        [0, *roots],
        key="search-source",
        format_func=lambda one: one_line(roots.get(one, "")) or "Any source",
        on_change=_on_source,
    )


def _days(asked: SearchState, taken: Facet) -> None:
    now = filters.filter_on(asked.where, "day")
    spans = f"{taken.low} to {taken.high}"
    since, until = st.columns(2)
    for place, name, value in ((since, "From", now.low), (until, "Until", now.high)):
        key = f"search-day-{name}"
        _set_widget(key, value)
        place.date_input(
            name,
            value=None,
            key=key,
            min_value=_EARLIEST,
            max_value=_LATEST,
            help=f"Taken {spans}",
            on_change=_on_days,
        )


def _values_or_text(asked: SearchState, facet: Facet, label: str) -> None:
    """Draw a choice of values, or a text search if there are too many."""
    if not facet.is_list and (facet.distinct is None or facet.distinct > len(facet.values)):
        _holds(asked, facet.column, f"{label} contains")
    else:
        _choose(asked, facet.column, label, facet.values)


def _choose(asked: SearchState, column: str, label: str, values: tuple[tuple[str, int], ...]) -> None:
    key = f"search-values-{column}"
    now = filters.filter_on(asked.where, column).values
    counts = dict(values)
    _set_widget(key, list(now))
    st.multiselect(
        label,
        [*counts, *(value for value in now if value not in counts)],
        key=key,
        placeholder="Any",
        format_func=lambda one: f"{one_line(one) or '(empty)'} ({counts.get(one, 0):,})",
        on_change=lambda: _apply_filter(Filter(column, tuple(st.session_state[key]))),
    )


def _holds(asked: SearchState, column: str, label: str) -> None:
    key = f"search-holds-{column}"
    _set_widget(key, filters.filter_on(asked.where, column).holds)
    st.text_input(label, key=key, on_change=lambda: _apply_filter(Filter(column, holds=st.session_state[key].strip())))


def _range(asked: SearchState, column: str, label: str, low: float | None, high: float | None) -> None:
    now = filters.filter_on(asked.where, column)
    keys = (f"search-least-{column}", f"search-most-{column}")

    def put() -> None:
        least, most = (st.session_state[key] for key in keys)
        _apply_filter(Filter(column, low=least, high=most))

    for place, key, word, value, shown in zip(
        st.columns(2), keys, ("from", "to"), (now.low, now.high), (low, high), strict=True
    ):
        _set_widget(key, value)
        place.number_input(
            f"{label} {word}",
            value=None,
            key=key,
            placeholder="" if shown is None else f"{shown:g}",
            on_change=put,
        )


def _set_widget(key: str, value: object) -> None:
    """Set a widget from the URL in every run: a menu that was closed shows what the last run set."""
    st.session_state[key] = value


def _apply_filter(new: Filter) -> None:
    asked = page_state.current().asked
    page_state.go_to(asked.with_changes(where=filters.replace_filter(asked.where, new)))


def _on_days() -> None:
    since, until = (st.session_state[f"search-day-{name}"] for name in ("From", "Until"))
    _apply_filter(Filter("day", low=since, high=until))


def _on_source() -> None:
    chosen = float(st.session_state["search-source"]) or None
    _apply_filter(Filter("source", low=chosen, high=chosen))


def _on_shape() -> None:
    low, high = filters.SHAPES.get(st.session_state["search-shape"], (None, None))
    _apply_filter(Filter("aspect", low=low, high=high))


def _on_place() -> None:
    _apply_filter(Filter("latitude", known=st.session_state["search-place"]))


def _on_has_text() -> None:
    _apply_filter(Filter("has_text", true=st.session_state["search-has-text"] or None))


def _on_flag(column: str) -> None:
    said = st.session_state["search-flag"]
    _apply_filter(Filter(column, true=None if not said else said == "yes"))


def _on_condition() -> None:
    text = st.session_state[_WHERE].strip()
    asked = page_state.current().asked
    if text != (asked.condition or ""):
        page_state.go_to(asked.with_changes(where=(text,) if text else ()))
