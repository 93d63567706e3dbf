"""State shared by all pages of this process: the collections, each opened once, and the addresses of their pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from imseek import library
from imseek.collection import Collection
from imseek.encoders import Runtime
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings
from imseek.ui.web.selection_store import SelectionStore

#: URL path of pictures.
PICTURES_PATH: Final = "/pictures"
#: URL path of downloads of a selection: a zip, tables, paths.
DOWNLOADS_PATH: Final = "/taken"
#: Sides of thumbnails in pixels: for grids, for a large view, and for one that is enlarged.
SMALL: Final = 256
LARGE: Final = 1024
LARGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class AppState:
    """State of the web UI.

    ``first`` is a collection named at the start, which need not be in the library. ``runtime`` says how vectors are
    computed, also by jobs started here. With ``opens``, pictures can be opened in a viewer of this machine.
    """

    service: Service
    first: library.NamedCollection | None = None
    runtime: Runtime | None = None
    opens: bool = False
    choices: SelectionStore = field(default_factory=SelectionStore)

    def collections(self) -> tuple[library.NamedCollection, ...]:
        """List the collections to choose from: the given one first, then those of the library by name."""
        entries = library.list_collections(os.environ)
        first = self.first
        if first is not None and all(one.path != first.path for one in entries):
            entries = (first, *entries)
        for one in entries:
            self.service.offer(one.name, one.path)
        return entries

    def open(self, name: str) -> Collection:
        """Open a collection. Raises as :func:`imseek.open`, and CollectionNotFoundError."""
        return self.service.get(name).collection


_app: AppState | None = None


def start(first: library.NamedCollection | None, runtime: Runtime | None, *, opens: bool = False) -> AppState:
    """Set the state of this process."""
    global _app
    _app = AppState(Service(Settings((), later=True), runtime), first, runtime, opens)
    return _app


def current_app() -> AppState:
    """Return the state of this process; without a start (tests of pages), one with the library's collections."""
    return _app or start(None, None)


def images_url(name: str) -> str:
    """Return the base URL of a collection's pictures."""
    return f"{PICTURES_PATH}/{quote(name, safe='')}"


def picture_url(name: str, image_id: int) -> str:
    """Return the URL of the original picture."""
    return f"{images_url(name)}/images/{image_id}"


def thumbnail_url(name: str, image_id: int, side: int = SMALL) -> str:
    """Return the URL of a WebP thumbnail whose longer side has at most ``side`` pixels."""
    return f"{picture_url(name, image_id)}/thumbnail?side={side}"
