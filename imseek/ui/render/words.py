"""Format numbers, sizes, times and foreign text for people."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Final


def printable(text: str) -> str:
    """Return ``text``, which may contain any file name, as one line without control characters."""
    from imseek.types.pictures import display_path

    try:
        return display_path(os.fsencode(text))
    except UnicodeEncodeError:  # A lone surrogate that stands for no byte of a name, as JSON may contain.
        return display_path(text.encode("utf-8", "backslashreplace"))


def shorten(text: str, longest: int) -> str:
    """Return ``text`` as one printable line of at most ``longest`` characters."""
    line = printable(text[: longest + 1])
    return line if len(line) <= longest else line[: longest - 1] + "…"


#: How a sample was chosen, by method.
SAMPLE_METHODS: Final[Mapping[str, str]] = {
    "k-centre": "by k-centre",
    "facility": "by facility location",
    "random": "at random",
}


def format_count(n: int, one: str, many: str | None = None) -> str:
    """Format a count: ``1 image``, ``2 images``; thousands have a comma."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def format_size(n: int) -> str:
    """Format a number of bytes, in powers of 1000."""
    amount = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def format_duration(seconds: float) -> str:
    """Format a duration: ``8 s``, ``3 min``, ``2 h 5 min``."""
    total = math.ceil(max(seconds, 0.0))
    if total < 90:
        return f"{total} s"
    minutes = math.ceil(total / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
