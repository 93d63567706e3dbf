"""Opening a picture in the viewer of this machine's desktop: what it is given."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imseek.collection import Collection
from imseek.errors import ImseekError

if TYPE_CHECKING:
    from imseek.search.searchable import Searchable
    from imseek.types import Image

#: Only files with these endings are opened by their own name: the system goes by it, and `a.html` may begin as a
#: picture does.
_PICTURES: Final = frozenset(
    [".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic"]
)
_RAW: Final = frozenset([".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"])
_ENDINGS: Final = _PICTURES | _RAW
_OF_FORMAT: Final = {"JPEG": ".jpg", "JPEG XL": ".jxl", "HEIC": ".heic", "TIFF": ".tif"}


def viewable(opened: Searchable, image: Image) -> Path:
    """A file that a viewer takes: the picture's own, or a copy of what lies inside another one, or elsewhere, or under
    a name that is no picture's. Raises ImseekError, MediaError."""
    place = image.place
    if place is not None and place.uri.startswith("file:") and "#" not in place.uri:
        path = Path(os.fsdecode(place.path))
        if isinstance(opened, Collection) and not os.path.lexists(path):
            raise ImseekError(
                f"the file of image {image.image_id} is gone", hint="`imseek index` updates the collection"
            )
        if isinstance(opened, Collection) and path.suffix.lower() in _ENDINGS:
            opened.originals.load(image.image_id)  # Raises where something else lies there now.
            return path
    data = opened.read(image.image_id)
    kind = str(image.metadata.get("format") or "")
    ending = _OF_FORMAT.get(kind, f".{kind.lower()}")
    if ending not in _ENDINGS:
        raise ImseekError(
            f"{kind or 'this'} is not opened in a viewer",
            hint="download it, or write it to a file with `imseek extract`",
        )
    # It stays: viewers go on when we have ended.
    copy = Path(tempfile.mkdtemp(prefix="imseek-")) / f"imseek-{image.image_id}{ending}"
    copy.write_bytes(data)
    return copy
