"""What all pages of this process share: which collections can be chosen, each opened once, and their pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from imseek import library
from imseek.collection import Collection
from imseek.encoders.runtime import Runtime
from imseek.ui.http.service import Service
from imseek.ui.http.settings import Settings
from imseek.ui.web.choices import Choices

#: Where pictures are served, beside the pages.
PICTURES: Final = "/pictures"
#: Where what was chosen is had: a zip, tables, paths.
TAKEN: Final = "/taken"
#: Sides of thumbnails in pixels: what grids show at once, and for dense screens or a large view.
SMALL: Final = 256
LARGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Hub:
    """``given`` is a collection that was named at the start, which need not be one of the library; ``runtime`` says how
    vectors are computed, by jobs that are started here too. With ``opens`` pictures can be opened in a viewer of this
    machine."""

    service: Service
    given: library.Named | None = None
    runtime: Runtime | None = None
    opens: bool = False
    choices: Choices = field(default_factory=Choices)

    def collections(self) -> tuple[library.Named, ...]:
        """Those that can be chosen now: the given one first, and all by name."""
        named = library.list_collections(os.environ)
        given = self.given
        if given is not None and all(one.path != given.path for one in named):
            named = (given, *named)
        for one in named:
            self.service.offer(one.name, one.path)
        return named

    def open(self, name: str) -> Collection:
        """Raises as :func:`imseek.open`, and CollectionNotFoundError."""
        return self.service.get(name).collection


_hub: Hub | None = None


def start(given: library.Named | None, runtime: Runtime | None, *, opens: bool = False) -> Hub:
    """The hub of this process from now on."""
    global _hub
    _hub = Hub(Service(Settings((), later=True), runtime), given, runtime, opens)
    return _hub


def hub() -> Hub:
    """The hub of this process; one with the library's collections where none was started (tests of pages)."""
    return _hub or start(None, None)


def images(name: str) -> str:
    """The address below which the pictures of a collection are."""
    return f"{PICTURES}/{quote(name, safe='')}"


def picture(name: str, image_id: int) -> str:
    """The address of a picture as it is stored."""
    return f"{images(name)}/images/{image_id}"


def thumbnail(name: str, image_id: int, side: int = SMALL) -> str:
    """The address of a WebP whose longer side has at most ``side`` pixels."""
    return f"{picture(name, image_id)}/thumbnail?side={side}"
