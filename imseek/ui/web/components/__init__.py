"""Components that Streamlit lacks: JavaScript and CSS in files beside their Python.

All text reaches the browser as data and is shown as text (``textContent``), since file names and captions are
untrusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_HERE = Path(__file__).parent
#: URL path of the components' scripts.
SCRIPTS_PATH: Final = "/scripts"
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
    url = _urls[name] = _script_url(_text("mounting.js", *(f"{part}.js" for part in (*parts, name))))
    # Streamlit sends this text in every run: the script itself is more than all that changes.
    js = f'const script = await import(location.origin + "{url}");\nexport default script.default;\n'
    return st.components.v2.component(f"imseek_{name}", css=css, js=js, isolate_styles=isolated)


#: The components' scripts by their digest, and their URLs by the names of the components.
_scripts: Final[dict[str, str]] = {}
_urls: Final[dict[str, str]] = {}


def script_urls(names: Iterable[str]) -> list[str]:
    """Return the URLs of those components' scripts that have been used in this process."""
    return [_urls[name] for name in names if name in _urls]


def _script_url(script: str) -> str:
    digest = hashlib.sha256(script.encode()).hexdigest()[:32]
    _scripts[digest] = script
    return f"{SCRIPTS_PATH}/{digest}.js"


def script_route() -> Route:
    """Return the route of the components' scripts; an address always denotes the same script."""

    async def script(request: Request) -> Response:
        text = _scripts.get(request.path_params["digest"])
        if text is None:
            return Response("no such script", 404)
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(text, headers=headers, media_type="text/javascript")

    return Route(f"{SCRIPTS_PATH}/{{digest}}.js", script, methods=["GET"])


def _text(*files: str) -> str:
    # Streamlit would take a text without a line break for a file name.
    return "".join((_HERE / file).read_text("utf-8") + "\n" for file in files)


def ignore_change() -> None:
    """Do nothing: Streamlit requires a callback for each value that a component sends."""
