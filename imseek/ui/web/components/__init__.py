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
    after those of ``parts``, of which it may use what they define."""
    # A text without a line break inside would be taken for the name of a file.
    css, js = (
        "".join((_HERE / f"{part}.{kind}").read_text("utf-8") + "\n" for part in (*parts, name))
        for kind in ("css", "js")
    )
    return st.components.v2.component(f"imseek_{name}", css=css, js=js)


def nothing() -> None:
    """Streamlit wants a callback for each value that a component sends."""
