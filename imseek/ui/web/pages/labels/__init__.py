"""The labels page: labels by words, labels by examples, and tags."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.overview import read_state
from imseek.ui.web.pages.labels import label_tasks
from imseek.ui.web.parts import errors, navigation

WORDS: Final = "By words"
EXAMPLES: Final = "By examples"
TAGS: Final = "Tags"


def show() -> None:
    """Draw the page. Each part is imported on first use."""
    name, collection = navigation.collection()
    with errors.show_errors():
        images = read_state(collection.path).images
    if not images:
        navigation.no_pictures("Add pictures before you label them.")
        return
    part = st.segmented_control(
        "How",
        (WORDS, EXAMPLES, TAGS),
        key="how",
        default=WORDS,
        required=True,
        label_visibility="collapsed",
        bind="query-params",
    )
    # A container even when no task runs: fragments below are identified by their position.
    with st.container():
        label_tasks.show_running(collection.path)
    if part == TAGS:
        from imseek.ui.web.pages.labels import tag_list

        tag_list.show(name, collection)
    elif part == EXAMPLES:
        from imseek.ui.web.pages.labels import by_examples

        by_examples.show(name, collection)
    else:
        from imseek.ui.web.pages.labels import by_words

        by_words.show(name, collection)
