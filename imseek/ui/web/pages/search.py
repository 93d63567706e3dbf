"""The page of searches."""

from __future__ import annotations

import streamlit as st

from imseek.ui.web import hub, shell
from imseek.ui.web.components.grid import Card, grid


def show() -> None:
    """Draw it."""
    name, collection = shell.collection()
    words = st.text_input("Search", key="q", bind="query-params", placeholder="What does the picture show?")
    if not words:
        return
    with shell.told():
        result = collection.search(words, limit=60)
    cards = [
        Card(
            hit.image_id,
            hub.thumbnail(name, hit.image_id),
            alt=str(hit.metadata.get("caption") or "picture"),
            title="place unknown" if hit.place is None else hit.place.display.rsplit("/", 1)[-1],
            note=f"{hit.score:.3f}",
        )
        for hit in result
    ]
    picked = grid(cards, key="results", letters=("m", "l"))
    st.text(str(picked))
