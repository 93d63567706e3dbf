"""The page duplicates."""

from __future__ import annotations

import streamlit as st

from imseek.ui.web import shell


def show() -> None:
    name, _ = shell.collection()
    st.text(name)
