"""Model Context Protocol: tools for assistants, over the API that the other interfaces use (docs/mcp.md)."""

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.ui.mcp.http import make_route
    from imseek.ui.mcp.stdio import run

__all__ = ["make_route", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"imseek.ui.mcp.http": "make_route", "imseek.ui.mcp.stdio": "run"})
