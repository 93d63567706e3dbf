"""Opening a hit in the viewer of the desktop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import imseek
from imseek.errors import ImseekError

if TYPE_CHECKING:
    from imseek.search.searchable import Searchable
    from imseek.types import Hit


def view(opened: Searchable, hit: Hit) -> None:
    """Raises ImseekError where the picture has gone, or nothing can show it."""
    target = _viewable(opened, hit)
    if typer.launch(target) != 0:
        raise ImseekError(f"no viewer could be started for {target}", hint="install xdg-utils or use --paths")


def _viewable(opened: Searchable, hit: Hit) -> str:
    """A file or URL that a viewer takes; what lies in an archive or a table, or elsewhere, is copied to a temporary
    file."""
    uri, path = hit.uri or "", hit.path or ""
    if uri.startswith(("http://", "https://")) and uri == path:
        return uri
    if not uri.startswith("file:") or "#" in uri or not isinstance(opened, imseek.Collection):
        name = f"imseek-{hit.image_id}{Path(path).suffix or '.image'}"
        copy = Path(tempfile.mkdtemp(prefix="imseek-")) / name  # It stays: viewers go on when we have ended.
        copy.write_bytes(opened.read(hit.image_id))
        return str(copy)
    if not Path(path).is_file():
        raise ImseekError(
            f"the file of image {hit.image_id} is gone", hint="`imseek index` updates the collection"
        )
    return path
