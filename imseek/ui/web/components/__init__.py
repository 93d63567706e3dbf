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
def component(name: str) -> Any:
    """What mounts the component ``name`` of this folder; registered once in this process."""
    # A text without a line break inside would be taken for the name of a file.
    css, js = ((_HERE / f"{name}.{kind}").read_text("utf-8") + "\n" for kind in ("css", "js"))
    return st.components.v2.component(f"imseek_{name}", css=css, js=js)
