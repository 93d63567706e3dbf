"""What a search is made of, as chips: weights that can be changed, and pieces that can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from imseek.ui.web.components import component


@dataclass(frozen=True, slots=True)
class Chip:
    """``says`` stands before its ``text`` (``not``), and is a button labelled ``flips`` where that can be changed;
    ``src`` is a small picture. Without a ``weight`` there is none to change."""

    id: str
    text: str
    says: str = ""
    flips: str = ""
    src: str = ""
    title: str = ""
    tone: str = ""
    weight: float | None = None


def chips(shown: Sequence[Chip], *, key: str, changed: Callable[[str, str, float | None], None]) -> None:
    """``changed`` is a callback: the id of a chip, ``remove``, ``flip`` or ``weight``, and the new weight."""

    def told() -> None:
        said: Any = getattr(st.session_state[key], "changed", None)
        if said is not None:
            changed(str(said["id"]), str(said["what"]), said["value"])

    component("chips")(key=key, data={"chips": [asdict(one) for one in shown]}, on_changed_change=told)
