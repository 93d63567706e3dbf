"""One picture shown large, over the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final
from urllib.parse import urlencode

import streamlit as st

from imseek.collection import Collection
from imseek.errors import ImageNotFoundError
from imseek.types.search_results import Hit
from imseek.ui.web import app_state
from imseek.ui.web.components import LARGE_VIEW, component, ignore_change
from imseek.ui.web.components.grid import Card
from imseek.ui.web.parts import navigation, results

#: The image in the URL that is shown large: ``?view=17``, which components/picture_address.js writes.
VIEW_KEY: Final = "view"


def restore_viewer(name: str) -> None:
    """Show the image in the URL large if no other part of the page does, as after a reload. Call it last."""
    if VIEW_KEY in st.query_params:
        _show(name, [], key="restored-viewer", like=None, epoch=0)


def open_viewer(
    name: str,
    collection: Collection,
    image_id: int,
    among: Sequence[Hit] = (),
    *,
    key: str,
    like: results.Like | None = None,
    scores: bool = False,
) -> None:
    """Show an image of the collection ``name`` large; arrow keys move to the hits ``among``.

    Call it in the run in which it is requested. It stays open until it is closed, or until a run without it. ``like``
    is that of :func:`results.results`, and runs before the page does. Raises ImageNotFoundError.
    """
    hits = [*among] or [*results.hits_by_id(collection, [image_id])]
    at = next((n for n, hit in enumerate(hits) if hit.image_id == image_id), None)
    if at is None:
        raise ImageNotFoundError(f"no image {image_id} in this collection")
    epoch = st.session_state[f"{key}-epoch"] = st.session_state.get(f"{key}-epoch", 0) + 1

    def on_press() -> None:
        # The next run may be without the viewer, so this is handled now.
        asked = st.session_state[key].pressed
        if like is not None and asked is not None:
            like(asked["id"], asked["key"] == "m")

    cards = [results.card(name, hit, scores=scores) for hit in hits]
    _show(name, cards, key=key, like=like, epoch=epoch, at=at, pressed=on_press)


def _show(
    name: str,
    cards: Sequence[Card],
    *,
    key: str,
    like: results.Like | None,
    epoch: int,
    at: int = 0,
    pressed: Callable[[], None] = ignore_change,
) -> None:
    component("viewer", *LARGE_VIEW)(
        key=key,
        data={
            "cards": [asdict(card) for card in cards],
            "at": at,
            "base": app_state.images_url(name),
            "opens": app_state.current_app().opens,
            "epoch": epoch,
            # Only a run can switch pages, and a callback is none.
            "search": f"/?{urlencode({navigation.COLLECTION_KEY: name})}",
            "less": like is not None,
        },
        on_pressed_change=pressed,
    )
