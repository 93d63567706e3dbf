"""Components that Streamlit lacks: JavaScript and CSS in files beside their Python.

All text reaches the browser as data and is shown as text (``textContent``), since file names and captions are
untrusted.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import streamlit as st

_HERE = Path(__file__).parent
#: Parts of every component that shows a picture large.
LARGE_VIEW: Final = ("common", "changes", "favourites", "zoom", "region", "picture_address", "large")


@cache
def component(name: str, *parts: str, isolated: bool = True) -> Any:
    """Return the function that mounts the component ``name``; it is registered once in this process.

    Script and style of ``parts`` come first and may be used by the component's own; ``mounting.js`` comes before all.
    One that is not ``isolated`` shares the ids of the page, and its style applies to all of it.
    """
    # A part need not have a style.
    css = _text(*(f"{part}.css" for part in (*parts, name) if (_HERE / f"{part}.css").exists()))
    js = _text("mounting.js", *(f"{part}.js" for part in (*parts, name)))
    return st.components.v2.component(f"imseek_{name}", css=css, js=js, isolate_styles=isolated)


def _text(*files: str) -> str:
    # Streamlit would take a text without a line break for a file name.
    return "".join((_HERE / file).read_text("utf-8") + "\n" for file in files)


def ignore_change() -> None:
    """Do nothing: Streamlit requires a callback for each value that a component sends."""
