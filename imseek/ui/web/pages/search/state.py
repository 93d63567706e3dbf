"""What the parts of the page share: what is asked now, and how to ask for something else."""

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

#: A refusal of what was typed or dropped, shown in the run after it.
_REFUSED: Final = "search-refused"
#: Which page of hits came before one, by its token, as far as this visit knows.
_BEFORE: Final = "search-before"
Change: TypeAlias = Callable[[], None]


def current() -> Read:
    """What the address asks for."""
    return asked.read({name: st.query_params.get_all(name) for name in asked.NAMES})


def go(to: Asked) -> None:
    """Ask for this from now on; to be called in callbacks, before the page runs."""
    if to != current().asked:
        st.query_params.from_dict(to.parameters(st.session_state[shell.CHOSEN]))


def turn(to: str | None) -> None:
    """To the page of hits with this token, or to the first."""
    now = current().asked
    before = st.session_state.setdefault(_BEFORE, {})
    if to is not None:
        before[to] = now.page
    go(now.but(page=to))


def before(page: str) -> str | None:
    """The token of the page before; None where that is the first, or not known."""
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
    """Raises QueryError."""
    return uploads.load(home(), name)


def refuse(error: ImseekError) -> None:
    """Show this in the next run, once."""
    st.session_state[_REFUSED] = error


def show_refusal() -> None:
    error = st.session_state.pop(_REFUSED, None)
    if error is not None:
        shell.refused(error)
