"""A group of pictures side by side, decided by keyboard; two of them laid over each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from imseek.ui.web.components import component


@dataclass(frozen=True, slots=True)
class Acted:
    """What was asked for: an ``act`` by name, with the ``id`` of pictures, of the group that was shown (``epoch``)."""

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
    acted: Callable[[Acted], None],
    before: Sequence[str] = (),
    note: str = "",
) -> None:
    """Draw ``pictures``, as ``pages/duplicates/shown.py`` makes them; ``epoch`` tells this group from another,
    which begins anew, and ``label`` is what it is called.

    ``acts`` are those that can be asked for now, with what their buttons say. ``acted`` is called with what was, before
    the page is drawn again. ``before`` are addresses of pictures that will be wanted next.
    """

    def tell() -> None:
        asked = st.session_state[key].acted
        if asked is not None:
            acted(Acted(str(asked["act"]), tuple(map(int, asked["images"])), str(asked["epoch"])))

    component("compare", "over")(
        key=key,
        data={
            "pictures": list(pictures),
            "epoch": epoch,
            "label": label,
            "acts": dict(acts),
            "before": list(before),
            "note": note,
        },
        on_acted_change=tell,
    )
