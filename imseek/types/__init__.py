"""Values that packages exchange: frozen dataclasses whose only behaviour is derived values.

The results of a feature are in its package, as in :mod:`imseek.duplicates.results`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a public type of ``imseek`` by its old place, as ``imseek.types.Place``: deprecated."""
    import imseek

    if name in imseek.__all__:
        return getattr(imseek, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
