"""All collections as cards."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from imseek import jobs
from imseek.errors import ImseekError
from imseek.library import NamedCollection
from imseek.overview import read_state
from imseek.ui.render.words import format_count
from imseek.ui.web.parts import navigation

_SHOWN = 60


def show(named: Sequence[NamedCollection], chosen: NamedCollection) -> None:
    """Draw the cards, with ``chosen`` marked. Very many are cut off; the sidebar lists all."""
    with st.container(horizontal=True, key="collections-cards"):
        for n, one in enumerate(named[:_SHOWN]):
            with st.container(border=True, width=180, key=f"collections-card-{n}"):
                st.text(one.name)
                for line in facts(one):
                    st.caption(line)
                mine = one.name == chosen.name
                st.button(
                    "✓ Chosen" if mine else "Choose",
                    key=f"collections-choose-{n}",
                    on_click=_choose,
                    args=(one.name,),
                    disabled=mine,
                )
    if len(named) > _SHOWN:
        st.text(f"and {len(named) - _SHOWN:,} more: the list in the sidebar has them all")


def facts(one: NamedCollection) -> list[str]:
    """Return two lines about a collection, read from small files without opening it."""
    try:
        held = format_count(read_state(one.path).images, "picture")
        at_work = any(job.state == jobs.RUNNING for job in jobs.list(one.path, limit=1))
    except ImseekError:
        return ["cannot be opened", "choose it to see why"]
    return [held, "at work" if at_work else "at rest"]


def _choose(name: str) -> None:
    # Must be a callback: the list in the sidebar has not been drawn yet.
    st.session_state[navigation.COLLECTION_KEY] = name
