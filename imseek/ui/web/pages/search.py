"""The page of searches."""

from __future__ import annotations

import streamlit as st

from imseek.ui.web import shell
from imseek.ui.web.parts import results


def show() -> None:
    """Draw it."""
    name, collection = shell.collection()
    words = st.text_input("Search", key="q", bind="query-params", placeholder="What does the picture show?")
    if not words:
        return
    with shell.told():
        result = collection.search(words, limit=60)
    results.results(name, collection, result.hits, key="results")
