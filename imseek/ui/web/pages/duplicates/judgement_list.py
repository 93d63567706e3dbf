"""The list of judgements, made here or by `imseek duplicates judge`, with a way to take them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from imseek import duplicates, overview
from imseek.errors import ImseekError
from imseek.types.duplicate_judgements import Judgement
from imseek.types.pictures import Place
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state
from imseek.ui.web.components.grid import Card, grid
from imseek.ui.web.pages.duplicates.workspace import Workspace
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import file_name

PAGE: Final = 48


def show(name: str, workspace: Workspace) -> None:
    """Draw the list."""
    st.fragment(_show_judgements)(name, workspace)


def _show_judgements(name: str, workspace: Workspace) -> None:
    judgements = duplicates.judgements(workspace.root)
    if not judgements:
        return
    with st.expander(f"What was said of {format_count(len(judgements), 'pair')} of pictures"):
        pages = -(-len(judgements) // PAGE)
        page = st.pagination(pages, key="duplicates-judged-page") if pages > 1 else 1
        visible = judgements[(page - 1) * PAGE : page * PAGE]
        events = grid(cards(name, workspace, visible), key="duplicates-judged", row=140, epoch=str(hash(visible)))
        if not events.selected:
            st.text("Tick those to take back. What is taken back is asked again when you look for duplicates.")
        elif st.button(f"Take back {format_count(len(events.selected), 'judgement')}", key="duplicates-forget"):
            try:
                with st.spinner("Waiting for the collection …"):
                    duplicates.rejudge(workspace.root, {(visible[n].a, visible[n].b): None for n in events.selected})
            except ImseekError as error:
                errors.show_error(error)
                return
            st.rerun(scope="fragment")


def cards(name: str, workspace: Workspace, judgements: Sequence[Judgement]) -> list[Card]:
    """Return a card for each judgement, which shows the first of its two images that exists."""
    ids = duplicates.images_of(workspace.root, {content for one in judgements for content in (one.a, one.b)})
    places = overview.find_places(workspace.root, [holders[0] for holders in ids.values() if holders])
    return [_card(n, name, one, ids, places) for n, one in enumerate(judgements)]


def _card(
    n: int, name: str, judgement: Judgement, ids: Mapping[str, Sequence[int]], places: Mapping[int, Place]
) -> Card:
    first, second = (_image_name(content, ids, places) for content in (judgement.a, judgement.b))
    image_id = next((ids[content][0] for content in (judgement.a, judgement.b) if ids.get(content)), None)
    return Card(
        n,
        "" if image_id is None else app_state.thumbnail_url(name, image_id),
        alt=first,
        title=first,
        note=f"and {second}",
        mark="different" if judgement.verdict == "different" else "the same",
    )


def _image_name(content: str, ids: Mapping[str, Sequence[int]], places: Mapping[int, Place]) -> str:
    image_ids = ids.get(content)
    if not image_ids:
        return "a picture that is not there any more"
    return file_name(places.get(image_ids[0]))
