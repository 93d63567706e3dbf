"""A map as one page of HTML that needs nothing beside itself: ``page`` joins what ``colouring`` and others make."""

from imseek.ui.map_page.page import MOST_POINTS, page

__all__ = ["MOST_POINTS", "page"]
