"""Parts of a search as chips, with weights that can be changed and a button to remove each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from imseek.ui.web.components import component


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip. ``says`` stands before ``text`` (``not``), and is a button labelled ``flips`` if that is set.

    ``src`` is the URL of a small picture, of which only ``region`` is shown: x, y, width and height in shares of it.
    Without ``weight``, the chip has no weight to change.
    """

    id: str
    text: str
    says: str = ""
    flips: str = ""
    src: str = ""
    region: tuple[float, ...] = ()
    title: str = ""
    tone: str = ""
    weight: float | None = None


def chips(items: Sequence[Chip], *, key: str, changed: Callable[[str, str, float | None], None]) -> None:
    """Draw chips. ``changed`` is a callback for the chip's id, ``remove``, ``flip`` or ``weight``, and the new
    weight."""

    def report_change() -> None:
        event: Any = getattr(st.session_state[key], "changed", None)
        if event is not None:
            changed(str(event["id"]), str(event["what"]), event["value"])

    component("chips")(key=key, data={"chips": [asdict(one) for one in items]}, on_changed_change=report_change)
