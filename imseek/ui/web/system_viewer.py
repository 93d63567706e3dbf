"""Open pictures in the desktop viewer of the machine that serves the pages."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import typer

from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types.pictures import Image
from imseek.ui.viewer_file import viewable_file


def can_open(host: str, hosts: Sequence[str], environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Return whether this machine has a desktop, and the pages are served to it alone.

    With ``hosts``, requests come through a proxy and may come from anywhere.
    """
    if hosts or host not in ("127.0.0.1", "localhost", "::1"):
        return False
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_here(collection: Collection, image: Image) -> None:
    """Open a picture in the system's viewer. Raises ImseekError, and MediaError if the picture cannot be read."""
    target = viewable_file(collection, image)
    if typer.launch(str(target)) != 0:
        raise ImseekError("no viewer could be started", hint="install xdg-utils, or download the picture")
