"""A path of the server that is typed, completed or gone into folder by folder."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from imseek.ui.web.components import component, nothing
from imseek.ui.web.folders import Listing, home, look


def folders(label: str, *, key: str, hidden: bool = False) -> Listing:
    """Draw it, and return what is typed now; its ``chosen`` is None while nothing is there."""
    typed = getattr(st.session_state.get(key), "path", None) or home()
    listing = look(typed, hidden=hidden)
    component("folders")(
        key=key,
        data={"label": label, "home": home(), **asdict(listing)},
        default={"path": typed},
        on_path_change=nothing,
    )
    return listing
