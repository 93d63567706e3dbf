"""Show results with their pictures: load thumbnails, and render HTML for notebooks and contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.showing.grid import Section, Tile, data_uri, render_page
    from imseek.showing.pictures import load_small, name_of, short_reason
    from imseek.showing.sheet import MAX_SHEET_HITS, render_sheet

__all__ = [
    "MAX_SHEET_HITS", "Section", "Tile", "data_uri", "load_small", "name_of", "render_page", "render_sheet",
    "short_reason",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.showing.grid": "Section Tile data_uri render_page",
            "imseek.showing.pictures": "load_small name_of short_reason",
            "imseek.showing.sheet": "MAX_SHEET_HITS render_sheet",
        },
    )
