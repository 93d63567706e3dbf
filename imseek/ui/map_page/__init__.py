"""A map as one page of HTML: ``document`` writes it, ``colouring`` says in which colours."""

from imseek.ui.map_page.document import MOST_POINTS, page

__all__ = ["MOST_POINTS", "page"]
