"""The options menu of the search page; each change searches again."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from imseek.search import known_rerankers
from imseek.ui.web.pages.search import page_state
from imseek.ui.web.search_state import SearchState

_BY: Final = {
    "auto": "Pictures and words",
    "image": "Pictures",
    "caption": "Captions, by meaning",
    "text": "Words",
}
#: "" for no groups: Streamlit takes None for no selection.
_GROUP: Final = {"": "No groups", "folder": "By folder", "day": "By day", "source": "By source"}
_SIZES: Final = (30, 60, 120, 240)
#: Shares of relevant pictures that a list may lose.
_PROMISES: Final = ("5%", "10%", "20%")


def show(state: SearchState, *, captions: bool, calibrated: bool) -> None:
    """Draw the menu; a collection that is ``calibrated`` has lists that keep a promise."""
    changed = sum(getattr(state, name) != getattr(SearchState(), name) for name in _KNOBS)
    with st.popover(f"Options ({changed})" if changed else "Options"):
        choices = {by: label for by, label in _BY.items() if captions or by in ("auto", "image", "text", state.by)}
        _choose(state, "by", "Compare with", choices)
        _choose(state, "group_by", "Groups", _GROUP)
        sizes = sorted({*_SIZES, state.limit})
        _choose(
            state,
            "limit",
            "Groups a page" if state.group_by else "Pictures a page",
            {n: str(n) for n in sizes},
        )
        _show_ends(state, calibrated=calibrated)
        # Without a query, or by date, each picture has a place of its own.
        why = "Shows the best of each group, with the number of the others, among relevant results by relevance."
        _toggle(state, "collapse", "Collapse near-duplicates", why)
        page_state.set_widget("search-diversity", state.diversity)
        st.slider(
            "Variety",
            0.0,
            1.0,
            step=0.05,
            key="search-diversity",
            on_change=_on_change,
            args=("diversity", "search-diversity"),
            disabled=state.sort == "date",
            help="Above 0, pictures that resemble earlier ones come later; 0.3 is a good start.",
        )
        names = dict.fromkeys([*known_rerankers(), *([state.rerank] if state.rerank else [])])
        _choose(state, "rerank", "Second look", {"": "None", **{name: f"By {name}" for name in names}})
        _toggle(state, "hubness", "Demote pictures that match everything", "Changes the order, not the scores.")
        _toggle(
            state, "exact", "Exact search", "Compares every picture: slower in large collections, but misses nothing."
        )


def _show_ends(state: SearchState, *, calibrated: bool) -> None:
    """Draw the choice of where the list ends: a switch, or several promises."""
    why = "Leaves out pictures that match no better than chance."
    if not calibrated and not isinstance(state.cutoff, str):
        _toggle(state, "cutoff", "Relevant results only", why)
        return
    promises = [*_PROMISES, *([state.cutoff] if isinstance(state.cutoff, str) else [])]
    ends: dict[bool | str, str] = {True: "Where relevance ends", False: "Nowhere"}
    ends |= {one: f"Keep all but {one} of what is relevant" for one in promises}
    page_state.set_widget("search-ends", state.cutoff)
    st.selectbox(
        "End of the list",
        list(ends),
        key="search-ends",
        format_func=lambda one: ends.get(one, str(one)),
        on_change=_on_change,
        args=("cutoff", "search-ends"),
        help=why,
    )


def show_order(state: SearchState) -> None:
    """Draw the choice of the order of the pictures."""
    orders = {"score": "By date", "added": "Newest here"} if state.empty else {"score": "Best first", "date": "By date"}
    # Two widgets: a browser that has not yet drawn the second would send the label of the first, which both have.
    key = "search-order-all" if state.empty else "search-order"
    page_state.set_widget(key, state.sort if state.sort in orders else "score")
    st.segmented_control(
        "Order",
        list(orders),
        key=key,
        required=True,
        format_func=lambda one: orders.get(one, one),
        on_change=_on_change,
        args=("sort", key),
        label_visibility="collapsed",
    )


_KNOBS: Final = ("by", "group_by", "limit", "cutoff", "collapse", "diversity", "rerank", "hubness", "exact")


def _choose(state: SearchState, name: str, label: str, choices: dict[Any, str]) -> None:
    key = f"search-{name}"
    page_state.set_widget(key, getattr(state, name) or "")
    st.selectbox(
        label,
        list(choices),
        key=key,
        format_func=lambda one: choices.get(one, str(one)),
        on_change=_on_change,
        args=(name, key),
    )


def _toggle(state: SearchState, name: str, label: str, why: str) -> None:
    key = f"search-{name}"
    page_state.set_widget(key, getattr(state, name))
    st.toggle(label, key=key, help=why, on_change=_on_change, args=(name, key))


def _on_change(name: str, key: str) -> None:
    value = st.session_state[key]
    page_state.go_to(page_state.current().state.with_changes(**{name: None if value == "" else value}))
