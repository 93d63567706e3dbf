"""Parts of pages that Streamlit has not, as components of our own: JavaScript and CSS in files beside their Python.

All text reaches the browser as data and is shown as text (``textContent``): names of files and captions are anybody's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


@cache
def component(name: str, *parts: str) -> Any:
    """What mounts the component ``name`` of this folder; registered once in this process. Its script and style come
    after those of ``parts``, of which it may use what they define; ``mounting.js`` comes before all."""
    css = _text(*(f"{part}.css" for part in (*parts, name)))
    js = _text("mounting.js", *(f"{part}.js" for part in (*parts, name)))
    return st.components.v2.component(f"imseek_{name}", css=css, js=js)


def _text(*files: str) -> str:
    # A text without a line break inside would be taken for the name of a file.
    return "".join((_HERE / file).read_text("utf-8") + "\n" for file in files)


def nothing() -> None:
    """Streamlit wants a callback for each value that a component sends."""
