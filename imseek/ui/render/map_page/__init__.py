"""A map as one HTML page: ``document`` writes it, ``colouring`` assigns the colours."""

from imseek.ui.render.map_page.document import MAX_POINTS, page

__all__ = ["MAX_POINTS", "page"]
