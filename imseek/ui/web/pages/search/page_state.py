"""State shared by the parts of the search page: the current search, and how to change it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import streamlit as st

from imseek import home as folders
from imseek.errors import ImseekError
from imseek.ui.web import search_state, uploads
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.saved_searches import SearchStore
from imseek.ui.web.search_state import ParsedAddress, SearchState

#: An error about typed or uploaded input, shown in the next run.
_ERROR_KEY: Final = "search-refused"
Change: TypeAlias = Callable[[], None]


def current() -> ParsedAddress:
    """Parse the search in the URL."""
    return search_state.parse_address({name: st.query_params.get_all(name) for name in search_state.PARAMETERS})


def go_to(state: SearchState) -> None:
    """Change the search; call it in callbacks, before the page runs."""
    if state != current().state:
        st.query_params.from_dict(state.parameters(st.session_state[navigation.COLLECTION_KEY]))


def set_widget(key: str, value: object) -> None:
    """Set a widget from the URL in every run: a menu that was closed shows what the last run set."""
    st.session_state[key] = value


def home() -> Path:
    return folders.home(os.environ)


def store() -> SearchStore:
    return _store(home())


@lru_cache(8)
def _store(at: Path) -> SearchStore:
    return SearchStore(at)


def upload(name: str) -> bytes:
    """Read an uploaded picture. Raises QueryError."""
    return uploads.load_upload(home(), name)


def defer_error(error: ImseekError) -> None:
    """Show an error once, in the next run."""
    st.session_state[_ERROR_KEY] = error


def show_deferred_error() -> None:
    error = st.session_state.pop(_ERROR_KEY, None)
    if error is not None:
        errors.show_error(error)
