"""The page of maps: pictures on a plane, those that look alike together."""

from imseek.ui.web.pages.map.page import show

__all__ = ["show"]
