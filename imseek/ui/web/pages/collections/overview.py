"""All collections as cards."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from imseek import jobs
from imseek.errors import ImseekError
from imseek.library import NamedCollection
from imseek.overview import read_state
from imseek.ui.render.words import format_count
from imseek.ui.web.pages.collections import run_descriptions
from imseek.ui.web.parts import navigation
from imseek.ui.web.plain_text import escape_markdown

_SHOWN = 60
#: Seconds between checks of the collections while a run is in progress on one of them.
_POLL = 2.0


def show(entries: Sequence[NamedCollection], current: NamedCollection | None) -> None:
    """Draw the cards, with ``current`` marked. Very many are cut off; the switcher in the top bar lists all."""
    running = any(state(one)[1] for one in entries[:_SHOWN])
    st.fragment(_show, run_every=_POLL if running else None)(entries, current)


def _show(entries: Sequence[NamedCollection], current: NamedCollection | None) -> None:
    with st.container(horizontal=True, key="collections-cards", gap="small"):
        for n, one in enumerate(entries[:_SHOWN]):
            is_current = current is not None and one.name == current.name
            with st.container(key=f"collections-card-{n}{'-chosen' if is_current else ''}", width=200, gap=None):
                if st.button(
                    escape_markdown(one.name), key=f"collections-choose-{n}", type="tertiary", disabled=is_current
                ):
                    navigation.switch(one.name)
                    st.rerun()  # All of the page, and not only this fragment.
                st.caption(" · ".join(facts(one)))
    if len(entries) > _SHOWN:
        st.text(f"and {len(entries) - _SHOWN:,} more: the switcher at the top lists them all")


def facts(entry: NamedCollection) -> list[str]:
    """Return what a card says about a collection, read from small files without opening it."""
    images, running = state(entry)
    if images is None:
        return ["cannot be opened"]
    return [format_count(images, "picture"), *([f"{running}…"] if running else [])]


def state(entry: NamedCollection) -> tuple[int | None, str]:
    """Return the number of images, None if the collection cannot be opened, and what is being done, "" if nothing."""
    try:
        images = read_state(entry.path).images
        job = next(iter(jobs.list(entry.path, limit=1)), None)
    except ImseekError:
        return None, ""
    return images, run_descriptions.summarise_run(job).title if job is not None and job.state == jobs.RUNNING else ""
