"""The list of tags: who gave them, with links to their images, renaming and removal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import streamlit as st

from imseek import tags
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types.tags import TagCount, TagReport
from imseek.ui.render.text import count_givers
from imseek.ui.render.words import format_count
from imseek.ui.web import search_state, undoable_changes
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import one_line
from imseek.ui.web.undoable_changes import Change

#: Names of the automatic provenances.
_GIVERS: Final = {"zero-shot": "words", "probe": "examples"}


def show(name: str, collection: Collection) -> None:
    """Draw the list."""
    with errors.show_errors():
        counts = tags.counts(collection)
    if not counts:
        st.text("No tags yet.")
        st.text("Tags come from labels by examples, from saved labels, and from pictures you select in a search.")
        return
    st.text("Choose a tag to see its pictures, rename it or remove it.")
    event = st.dataframe(
        rows(counts),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        # A new table after each change, with nothing selected.
        key=f"tags-table-{st.session_state.setdefault('tags-changes', 0)}",
        column_config={"pictures": st.column_config.NumberColumn(format="localized")},
    )
    row_numbers = event["selection"]["rows"]
    if row_numbers and row_numbers[0] < len(counts):
        _one(name, collection, counts[row_numbers[0]], counts)


def rows(counts: Sequence[TagCount]) -> list[dict[str, object]]:
    """Return the rows of the table of tags."""
    return [{"tag": one_line(one.tag), "pictures": one.images, "given by": one_line(givers(one.by))} for one in counts]


def givers(by: Mapping[str, int]) -> str:
    """Describe who gave a tag, and how often."""
    return ", ".join(f"{_giver(giver)}: {n:,}" for giver, n in count_givers(by))


def _giver(provenance: str) -> str:
    kind, _, name = provenance.partition(" ")
    if provenance == "person":
        return "hand"
    return f"{_GIVERS[kind]} ({name})" if kind in _GIVERS and name else provenance


def _one(name: str, collection: Collection, one: TagCount, counts: Sequence[TagCount]) -> None:
    with st.container(border=True):
        st.text(one_line(one.tag))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if st.button("Show pictures", type="primary"):
                query = search_state.filtered_search(f"tag({search_state.sql_literal(one.tag)})").parameters()
                st.switch_page(navigation.page("search"), query_params=query)
            with st.popover("Rename…"):
                # Text typed for one tag must not appear for another.
                key = f"tags-to-{st.session_state['tags-changes']}-{one.tag}"
                to = (st.text_input("New name", key=key, max_chars=200) or "").strip()
                if any(other.tag == to for other in counts) and to != one.tag:
                    st.text("This tag already exists. The two will be merged.")
                if st.button("Rename tag", disabled=not to or to == one.tag):
                    _apply_change(lambda: undoable_changes.rename_tag(collection, one.tag, to))
            with st.popover("Remove…"):
                st.text(f"{format_count(one.images, 'picture')} will lose this tag.")
                if st.button("Remove tag", type="primary"):
                    _apply_change(lambda: undoable_changes.remove_tag(collection, one.tag))


def _apply_change(act: Callable[[], tuple[TagReport, Change]]) -> None:
    try:
        _, change = act()
    except ImseekError as error:
        errors.show_error(error)
        return
    undoable_changes.announce(change)
    st.session_state["tags-changes"] += 1
    st.rerun()
