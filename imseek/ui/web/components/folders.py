"""An input for a path on the server, typed, completed, or entered folder by folder."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from imseek.ui.web.components import component, nothing
from imseek.ui.web.folders import Listing, home, look


def folders(label: str, *, key: str, hidden: bool = False) -> Listing:
    """Draw the input and return the listing of the typed path; its ``chosen`` is None if nothing is there."""
    typed = getattr(st.session_state.get(key), "path", None) or home()
    listing = look(typed, hidden=hidden)
    component("folders")(
        key=key,
        data={"label": label, "home": home(), **asdict(listing)},
        default={"path": typed},
        on_path_change=nothing,
    )
    return listing
