"""Pictures in terminals: the preview of a ranking, and `imseek browse`."""

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.ui.terminal.browse import Browse
    from imseek.ui.terminal.browse_state import TERM_SEPARATOR, BrowseQuery
    from imseek.ui.terminal.capabilities import detect_terminal
    from imseek.ui.terminal.thumbnail_rows import MAX_HITS, print_preview

__all__ = ["MAX_HITS", "TERM_SEPARATOR", "Browse", "BrowseQuery", "detect_terminal", "print_preview"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.ui.terminal.browse": "Browse",
            "imseek.ui.terminal.browse_state": "TERM_SEPARATOR BrowseQuery",
            "imseek.ui.terminal.capabilities": "detect_terminal",
            "imseek.ui.terminal.thumbnail_rows": "MAX_HITS print_preview",
        },
    )
