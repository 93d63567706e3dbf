"""Some pictures to take along."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from imseek.collection import Collection


def offer(name: str, collection: Collection, ids: Sequence[int], *, key: str = "download") -> None:
    """What can be had of these images of the collection ``name``: a zip, tables, their paths."""
    paths = [collection.get(image_id).place for image_id in ids]
    text = "\n".join(place.display for place in paths if place is not None)
    with st.container(horizontal=True):
        st.text(f"{len(ids)} selected")
        st.download_button("Paths", text, f"{len(ids)} paths.txt", key=key)
