"""One picture shown large, over the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final
from urllib.parse import urlencode

import streamlit as st

from imseek.collection import Collection
from imseek.errors import ImageNotFoundError
from imseek.ui.web import app_state
from imseek.ui.web.components import LARGE_VIEW, component
from imseek.ui.web.components.grid import Card
from imseek.ui.web.parts import navigation, results

#: The image in the URL that is shown large: ``?view=17``, which components/picture_address.js writes.
VIEW_KEY: Final = "view"


def restore_viewer(name: str) -> None:
    """Show the image in the URL large if no other part of the page does, as after a reload. Call it last."""
    if VIEW_KEY in st.query_params:
        _show(name, [], key="restored-viewer", epoch=0)


def open_viewer(name: str, collection: Collection, image_id: int, *, key: str) -> None:
    """Show an image of the collection ``name`` large. Raises ImageNotFoundError.

    Call it in the run in which it is requested. It stays open until it is closed, or until a run without it.
    """
    hits = results.hits_by_id(collection, [image_id])
    if not hits:
        raise ImageNotFoundError(f"no image {image_id} in this collection")
    epoch = st.session_state[f"{key}-epoch"] = st.session_state.get(f"{key}-epoch", 0) + 1
    _show(name, [results.card(name, hit, scores=False) for hit in hits], key=key, epoch=epoch)


def _show(name: str, cards: Sequence[Card], *, key: str, epoch: int) -> None:
    component("viewer", *LARGE_VIEW)(
        key=key,
        data={
            "cards": [asdict(card) for card in cards],
            "base": app_state.images_url(name),
            "opens": app_state.current_app().opens,
            "epoch": epoch,
            # Only a run of the script can switch pages, not a callback.
            "search": f"/?{urlencode({navigation.COLLECTION_KEY: name})}",
        },
    )
