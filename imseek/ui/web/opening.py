"""Pictures in the viewer of the system that the pages are served from, for who sits before it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import typer

from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types import Image
from imseek.ui.desktop import viewable


def can_open(
    host: str, hosts: Sequence[str], environ: Mapping[str, str], platform: str = sys.platform
) -> bool:
    """Whether who sees the pages sees this machine's desktop too: they are served to it alone, and there is one.

    Who asks for them under one of ``hosts`` comes through something that stands before them, from anywhere.
    """
    if hosts or host not in ("127.0.0.1", "localhost", "::1"):
        return False
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_here(collection: Collection, image: Image) -> None:
    """Raises ImseekError, MediaError where the picture cannot be read."""
    target = viewable(collection, image)
    if typer.launch(str(target)) != 0:
        raise ImseekError("no viewer could be started", hint="install xdg-utils, or download the picture")
