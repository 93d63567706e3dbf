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
from imseek.ui.web import asked, shell, uploads
from imseek.ui.web.asked import Asked, Read
from imseek.ui.web.saved import Store

#: An error about typed or uploaded input, shown in the next run.
_REFUSED: Final = "search-refused"
#: Previous page of hits by page token, as far as this session has seen them.
_BEFORE: Final = "search-before"
Change: TypeAlias = Callable[[], None]


def current() -> Read:
    """Parse the search in the URL."""
    return asked.read({name: st.query_params.get_all(name) for name in asked.NAMES})


def go(to: Asked) -> None:
    """Change the search; call it in callbacks, before the page runs."""
    if to != current().asked:
        st.query_params.from_dict(to.parameters(st.session_state[shell.CHOSEN]))


def turn(to: str | None) -> None:
    """Go to the page of hits with this token, or to the first."""
    now = current().asked
    before = st.session_state.setdefault(_BEFORE, {})
    if to is not None:
        before[to] = now.page
    go(now.but(page=to))


def before(page: str) -> str | None:
    """Return the token of the previous page; None if it is the first or unknown."""
    known: str | None = st.session_state.get(_BEFORE, {}).get(page)
    return known


def home() -> Path:
    return folders.home(os.environ)


def store() -> Store:
    return _store(home())


@lru_cache(8)
def _store(at: Path) -> Store:
    return Store(at)


def upload(name: str) -> bytes:
    """Read an uploaded picture. Raises QueryError."""
    return uploads.load(home(), name)


def refuse(error: ImseekError) -> None:
    """Show an error once, in the next run."""
    st.session_state[_REFUSED] = error


def show_refusal() -> None:
    error = st.session_state.pop(_REFUSED, None)
    if error is not None:
        shell.refused(error)
