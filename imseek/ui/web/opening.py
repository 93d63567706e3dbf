"""Pictures in the viewer of the system that the pages are served from, for who sits before it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import typer

from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types import Image
from imseek.ui.web.about import file_of, kind_of

#: Only files with these endings are opened by their own name: the system goes by it, and `a.html` may begin as a
#: picture does.
_PICTURES: Final = frozenset(
    [".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic"]
)
_RAW: Final = frozenset([".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"])
_ENDINGS: Final = _PICTURES | _RAW
_OF_FORMAT: Final = {"JPEG": ".jpg", "JPEG XL": ".jxl", "HEIC": ".heic", "TIFF": ".tif"}


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


def viewable(collection: Collection, image: Image) -> Path:
    """A file that a viewer takes: the picture's own, or a copy of what lies inside another one, or elsewhere, or under
    a name that is no picture's. Raises MediaError."""
    place = image.place
    file = None if place is None or kind_of(place) != "file" else file_of(place)
    if file is not None:
        path = Path(os.fsdecode(file))
        if path.suffix.lower() in _ENDINGS and path.is_file():
            return path
    data = collection.read(image.image_id)
    kind = str(image.metadata.get("format") or "")
    ending = _OF_FORMAT.get(kind, f".{kind.lower()}")
    if ending not in _ENDINGS:
        raise ImseekError(f"{kind or 'this'} is not opened in a viewer", hint="download it instead")
    # It stays: viewers go on when we have ended.
    copy = Path(tempfile.mkdtemp(prefix="imseek-")) / f"imseek-{image.image_id}{ending}"
    copy.write_bytes(data)
    return copy
