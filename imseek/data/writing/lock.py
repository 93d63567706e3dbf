"""Lock a collection for a single writer, wherever its catalog is."""

from __future__ import annotations

from pathlib import Path

from imseek.data.catalog.backend import Lock, backend_of


def lock_of(root: Path) -> Lock:
    """Return a collection's writer lock, not yet acquired. Raises ReadOnlyError."""
    return backend_of(root).lock()
