"""Streamlit collects garbage in full after every run, which takes some 70 ms of all threads once everything is loaded.

What is there by then are modules and encoders, which stay: they are put where the collector does not look.
"""

from __future__ import annotations

import gc

_settled: set[str] = set()


def settle(after: str) -> None:
    """Once in this process for each ``after``, such as the first search."""
    if after not in _settled:
        _settled.add(after)
        gc.collect()
        gc.freeze()
