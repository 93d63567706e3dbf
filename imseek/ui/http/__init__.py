"""HTTP service: a thin layer over the public API, for other programs and machines (docs/http.md)."""

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.ui.http.server import run

__all__ = ["run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"imseek.ui.http.server": "run"})
