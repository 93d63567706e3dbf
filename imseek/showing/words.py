"""Numbers, sizes, times and foreign text, as they are said to people: by commands, pages, terminals and reports."""

from __future__ import annotations

import math
import os


def printable(text: str) -> str:
    """``text`` as one line without control characters; it may hold file names from anywhere."""
    from imseek.types import display_path

    try:
        return display_path(os.fsencode(text))
    except UnicodeEncodeError:  # Half a character, which stands for no byte of a name: JSON may hold such.
        return display_path(text.encode("utf-8", "backslashreplace"))


def shortened(text: str, longest: int) -> str:
    """``text`` as one printable line of at most ``longest`` characters."""
    line = printable(text[: longest + 1])
    return line if len(line) <= longest else line[: longest - 1] + "…"


def count(n: int, one: str, many: str | None = None) -> str:
    """``1 image``, ``2 images``; thousands with a comma."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def size(n: int) -> str:
    """Bytes for people, in powers of 1000."""
    amount = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2 h 5 min``."""
    whole = math.ceil(max(seconds, 0.0))
    if whole < 90:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
