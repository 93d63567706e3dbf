"""The facet rail: at the left of wide pages, a sheet over narrow ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from imseek.ui.web.components import component


def rail(url: str, *, key: str, chosen: int, generation: int, changed: Callable[[Mapping[str, Any]], None]) -> None:
    """Draw the button that opens the rail, and the rail, which fetches its facets from ``url``.

    ``chosen`` is the number of conditions, ``generation`` that of the collection. ``changed`` is a callback for what
    somebody chooses: a ``column`` with a ``value`` and ``on``, or with ``low`` and ``high``; without a column all
    conditions are removed.
    """

    def report_change() -> None:
        event: Any = getattr(st.session_state[key], "changed", None)
        if isinstance(event, Mapping):
            changed(event)

    component("rail", "common", "changes", "watch_app", "world_map")(
        key=key, data={"url": url, "chosen": chosen, "generation": generation}, on_changed_change=report_change
    )
