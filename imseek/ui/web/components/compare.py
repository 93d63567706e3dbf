"""A group of pictures side by side, decided by keyboard, with two of them overlaid on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from imseek.ui.web.components import component


@dataclass(frozen=True, slots=True)
class ReviewAction:
    """A user's action: ``act`` by name, ids of ``images``, and ``epoch`` of the group that was shown."""

    act: str
    images: tuple[int, ...]
    epoch: str


def compare(
    pictures: Sequence[Mapping[str, Any]],
    *,
    key: str,
    epoch: str,
    label: str,
    acts: Mapping[str, str],
    acted: Callable[[ReviewAction], None],
    turn: int = 0,
    before: Sequence[str] = (),
    note: str = "",
) -> None:
    """Draw ``pictures``, as made by ``pages/duplicates/group_data.py``, under the heading ``label``.

    The view is reset when ``epoch`` changes. ``acts`` are the available actions with their button labels. ``acted`` is
    called with the user's action before the page is drawn again; ``turn`` is the number of actions that were handled,
    since a decision that was refused leaves the group as it was. ``before`` are picture URLs to prefetch.
    """

    def tell() -> None:
        action = st.session_state[key].acted
        if action is not None:
            acted(ReviewAction(str(action["act"]), tuple(map(int, action["images"])), str(action["epoch"])))

    component("compare", "picture_address", "over")(
        key=key,
        data={
            "pictures": list(pictures),
            "epoch": epoch,
            "label": label,
            "acts": dict(acts),
            "turn": turn,
            "before": list(before),
            "note": note,
        },
        on_acted_change=tell,
    )
