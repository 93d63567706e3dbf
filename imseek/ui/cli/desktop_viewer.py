"""Open a hit in the desktop's viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from imseek.errors import ImseekError

if TYPE_CHECKING:
    from imseek.search import Searchable
    from imseek.types.search_results import Hit


def open_in_viewer(collection: Searchable, hit: Hit) -> None:
    """Open a hit's picture in a viewer. Raises ImseekError if the picture is gone or no viewer starts."""
    from imseek.ui.viewer_file import viewable_file

    uri = hit.uri or ""
    from_web = uri.startswith(("http://", "https://")) and uri == hit.path
    target = uri if from_web else str(viewable_file(collection, collection.get(hit.image_id)))
    if typer.launch(target) != 0:
        raise ImseekError(f"no viewer could be started for {target}", hint="install xdg-utils or use --paths")
