"""The map page: images on a plane, similar ones together."""

from imseek.ui.web.pages.map.page import show

__all__ = ["show"]
