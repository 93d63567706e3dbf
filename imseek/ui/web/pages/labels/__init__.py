"""The page of labels: by words, by examples, and the tags that there are."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek.data.current_file import read_current
from imseek.ui.web import shell
from imseek.ui.web.pages.labels import working

WORDS: Final = "By words"
EXAMPLES: Final = "By examples"
TAGS: Final = "Tags"


def show() -> None:
    """Draw it. Each part is imported when it is first seen."""
    name, collection = shell.collection()
    with shell.told():
        images = read_current(collection.path).images
    if not images:
        shell.no_pictures("Labels are given to the pictures of a collection. Add some first.")
        return
    how = st.segmented_control(
        "How",
        (WORDS, EXAMPLES, TAGS),
        key="how",
        default=WORDS,
        required=True,
        label_visibility="collapsed",
        bind="query-params",
    )
    # A place of its own, also while nothing is under way: fragments below are known by where they are.
    with st.container():
        working.watch(collection.path)
    if how == TAGS:
        from imseek.ui.web.pages.labels import tagging

        tagging.show(name, collection)
    elif how == EXAMPLES:
        from imseek.ui.web.pages.labels import teaching

        teaching.show(name, collection)
    else:
        from imseek.ui.web.pages.labels import wording

        wording.show(name, collection)
