"""Provide picture files for the desktop's viewer."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imseek.collection import Collection
from imseek.errors import ImseekError

if TYPE_CHECKING:
    from imseek.search import Searchable
    from imseek.types.pictures import Image

#: Only files with these extensions are opened directly: the system goes by the extension, and `a.html` may begin like a
#: picture.
_PICTURES: Final = frozenset(
    [".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic"]
)
_RAW: Final = frozenset([".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"])
_ENDINGS: Final = _PICTURES | _RAW
_ENDING_BY_FORMAT: Final = {"JPEG": ".jpg", "JPEG XL": ".jxl", "HEIC": ".heic", "TIFF": ".tif"}


def viewable_file(collection: Searchable, image: Image) -> Path:
    """Return a file that a viewer can open: the picture's own file, or a copy.

    A copy is made of a picture inside another file, stored elsewhere, or without a picture's extension. Raises
    ImseekError, MediaError.
    """
    place = image.place
    if place is not None and place.uri.startswith("file:") and "#" not in place.uri:
        path = Path(os.fsdecode(place.path))
        if isinstance(collection, Collection) and not os.path.lexists(path):
            raise ImseekError(
                f"the file of image {image.image_id} is gone", hint="`imseek index` updates the collection"
            )
        if isinstance(collection, Collection) and path.suffix.lower() in _ENDINGS:
            collection.originals.load(image.image_id)  # Raises if the content has changed.
            return path
    data = collection.read(image.image_id)
    kind = str(image.metadata.get("format") or "")
    ending = _ENDING_BY_FORMAT.get(kind, f".{kind.lower()}")
    if ending not in _ENDINGS:
        raise ImseekError(
            f"{kind or 'this'} is not opened in a viewer",
            hint="download it, or write it to a file with `imseek extract`",
        )
    # Never deleted: viewers outlive this process.
    copy = Path(tempfile.mkdtemp(prefix="imseek-")) / f"imseek-{image.image_id}{ending}"
    copy.write_bytes(data)
    return copy
