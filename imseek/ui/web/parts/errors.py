"""Display errors of imseek in place, with their hints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from imseek.errors import ImseekError
from imseek.ui.web.plain_text import capitalise


@contextmanager
def show_errors() -> Iterator[None]:
    """Show errors of imseek in place, with their hints, and end the page there."""
    try:
        yield
    except ImseekError as error:
        show_error(error)
        st.stop()


def show_error(error: ImseekError) -> None:
    """Show an error as plain text: messages name files, whose names are untrusted."""
    with st.container(border=True):
        st.text(f"⚠️ {capitalise(str(error))}")
        if error.hint:
            st.text(error.hint if error.hint.startswith("imseek ") else capitalise(error.hint))
