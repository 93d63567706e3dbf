"""What a page shows and requests before Streamlit's script has run: the top bar, and scripts that it will need.

Streamlit asks for the script of each of its widgets once the first run of the page names it, and for ours after that:
by then the browser has waited twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, get_args
from urllib.parse import parse_qs

import streamlit as st

from imseek.ui.render.html_templates import render
from imseek.ui.web.components import script_urls
from imseek.ui.web.parts import navigation

#: Streamlit's widgets, by the names of their sources: in the bar and on the Search page, and by path for other pages.
_WIDGETS: Final = ("BidiComponent", "TextInput", "FileUploader", "PageLink", "Button", "ButtonGroup", "Popover")
_MORE_WIDGETS: Final = {"map": ("Selectbox",), "labels": ("TextArea", "Checkbox"), "collections": ("Tabs",)}
#: Components of every page, and further ones of single pages by path.
_OF_ALL: Final = ("shell", "announcements", "address", "suggestions", "asking")
_OF_PAGE: Final = {"": ("grid", "rail"), "albums": ("grid",), "map": ("scatter",)}
_LONGEST: Final = 64  # Maximum length of a collection's name.


def links(path: str) -> str:
    """Return the links of the page's head by which the browser requests scripts in advance."""
    page = path.strip("/")
    urls = (
        *_widget_scripts((*_WIDGETS, *_MORE_WIDGETS.get(page, ()))),
        *script_urls((*_OF_ALL, *_OF_PAGE.get(page, ()))),
    )
    return "".join(f'<link rel="modulepreload" crossorigin href="{url}">' for url in urls)


def bar(path: str, query: str) -> str:
    """Return the top bar as HTML, with the collection that the address names; the component of the bar hides it."""
    page = path.strip("/") or navigation.FIRST_PAGE
    names = get_args(navigation.PageName)
    collection = parse_qs(query).get(navigation.COLLECTION_KEY, [""])[0][:_LONGEST]
    titles = [navigation.title(name) for name in names]
    return "".join(render("early_bar.html.j2", collection=collection, pages=titles, here=page.capitalize()))


@cache
def _widget_scripts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the URLs of the scripts of Streamlit's widgets, without those that its page requests by itself."""
    try:
        manifest = json.loads((Path(st.__file__).parent / "static" / "manifest.json").read_bytes())
        at_once = set(_with_imports(manifest, "index.html"))
        widgets = [name for name in manifest if name.endswith(".tsx") and Path(name).stem in names]
        scripts = {one: None for widget in widgets for one in _with_imports(manifest, widget) if one not in at_once}
        return tuple(f"/{manifest[one]['file']}" for one in scripts)
    except (OSError, ValueError, KeyError, TypeError):  # Another version of Streamlit: the page only takes longer.
        return ()


def _with_imports(manifest: dict[str, dict[str, list[str]]], name: str) -> Iterator[str]:
    """Yield a script and all that it imports."""
    open_, visited = [name], {name}
    while open_:
        script = open_.pop()
        yield script
        new = [one for one in manifest[script].get("imports", ()) if one not in visited]
        visited.update(new)
        open_ += new
