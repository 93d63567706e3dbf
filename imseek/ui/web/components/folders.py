"""An input for a path on the server, typed, completed, or entered folder by folder."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from imseek.ui.web.components import component, ignore_change
from imseek.ui.web.folders import FolderListing, list_folder, start_folder


def folders(label: str, *, key: str, hidden: bool = False) -> FolderListing:
    """Draw the input and return the listing of the typed path; its ``chosen`` is None if nothing is there."""
    typed = getattr(st.session_state.get(key), "path", None) or start_folder()
    listing = list_folder(typed, hidden=hidden)
    component("folders")(
        key=key,
        data={"label": label, "home": start_folder(), **asdict(listing)},
        default={"path": typed},
        on_path_change=ignore_change,
    )
    return listing
