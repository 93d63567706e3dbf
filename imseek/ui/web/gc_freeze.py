"""Exclude long-lived objects from garbage collection.

Streamlit runs a full collection after every run, which blocks all threads for some 70 ms once everything is loaded.
Modules and encoders stay anyway, so they are frozen.
"""

from __future__ import annotations

import gc

_frozen_after: set[str] = set()


def freeze_heap(after: str) -> None:
    """Freeze all objects, once in this process for each ``after``, such as the first search."""
    if after not in _frozen_after:
        _frozen_after.add(after)
        gc.collect()
        gc.freeze()
