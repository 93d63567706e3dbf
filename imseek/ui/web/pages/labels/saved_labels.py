"""Saved labels by words: show, continue and forget them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import streamlit as st

from imseek import labels
from imseek.collection import Collection
from imseek.labels.results import SavedLabels
from imseek.progress import ProgressCallback
from imseek.ui.web import search_state
from imseek.ui.web.pages.labels import label_tasks
from imseek.ui.web.pages.labels.label_options import SaveResult, as_text, saved_line
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import escape_markdown, one_line

SLOT: Final = "labels-again"
#: Session keys of the text of the classes field, and of its epoch.
TEXT_KEY: Final = "labels-typed"
EPOCH: Final = "labels-epoch"


def fill(text: str) -> None:
    """Fill the classes field."""
    st.session_state[TEXT_KEY] = text
    st.session_state[EPOCH] = st.session_state.get(EPOCH, 0) + 1


def show(name: str, collection: Collection) -> None:
    """Draw the saved labels, in a fragment."""
    with errors.show_errors():
        saved_sets = labels.saved(collection)
    if not saved_sets:
        return
    st.subheader("Saved labels", anchor=False)
    if isinstance(outcome := label_tasks.outcome(collection.path, SLOT), SaveResult):
        st.text(f"✓ {outcome.line()}")
    for one in saved_sets:
        _one(name, collection, one)


def show_pictures(column: str, classes: Sequence[str], key: str, width: int | Literal["stretch"] = "stretch") -> None:
    """Draw a choice of classes that leads to a search for the images of one, by the ``column`` that stores it."""
    label = st.selectbox(
        "Show pictures of",
        classes,
        key=key,
        index=None,
        placeholder="a class",
        format_func=escape_markdown,
        width=width,
    )
    if label is not None:
        del st.session_state[key]  # Otherwise returning to this page would lead there again.
        query = search_state.filtered_search(f"{column} = {search_state.sql_literal(label)}").parameters()
        st.switch_page(navigation.page("search"), query_params=query)


def _one(name: str, collection: Collection, saved_set: SavedLabels) -> None:
    key = f"saved-{saved_set.name}"
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            with st.container():
                st.text(saved_set.name)
                st.text(one_line(saved_line(saved_set)))
            if saved_set.columns:
                show_pictures(saved_set.name, saved_set.classes, f"{key}-class", width=220)
            st.button("Edit", key=f"{key}-edit", on_click=fill, args=(as_text(saved_set.classes, saved_set.words),))
            if st.button("Label new pictures", key=f"{key}-again", disabled=not saved_set.current):
                label_tasks.begin(
                    collection.path,
                    SLOT,
                    f"Continuing {saved_set.name}",
                    partial(_label_new, collection, saved_set.name),
                )
                st.rerun()
            with st.popover("Delete"):
                st.text("Deletes its columns, its tags, and its settings. Tags added by people stay.")
                if st.button(f"Delete {saved_set.name}", key=f"{key}-forget", type="primary"):
                    with errors.show_errors():
                        labels.forget(collection, saved_set.name)
                    st.rerun(scope="fragment")
        if not saved_set.current:
            st.text(f"Made with {one_line(saved_set.encoder)}: the collection has another encoder now. Label all anew.")


def _label_new(collection: Collection, name: str, progress: ProgressCallback, stop: threading.Event) -> SaveResult:
    result = labels.again(collection, name, progress=progress, stop=stop)
    return SaveResult(name, len(result.image_ids), result.tagged)
