"""`imseek ui`: web pages on top of the public API. The only importer of Streamlit."""

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.ui.web.server import Settings, load_token, run

__all__ = ["Settings", "load_token", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"imseek.ui.web.server": "Settings load_token run"})
