"""Text out of files: one line, printable, bounded."""

from __future__ import annotations

from typing import Any, Final

MAX_TEXT: Final = 2000  # characters kept of a text field


def tidy(text: str) -> str | None:
    """The first ``MAX_TEXT`` characters of ``text`` as one line of printable text, or None where nothing is left."""
    text = text.partition("\0")[0][:MAX_TEXT]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or None


def decoded(value: Any) -> str | None:
    """The same of a field of EXIF or IPTC; None of what is neither text nor bytes.

    EXIF says ASCII, Pillow reads Latin-1, and what newer programs write is UTF-8: take it for that if it is.
    """
    if not isinstance(value, str | bytes):
        return None
    try:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        return tidy(raw.decode("utf-8"))
    except UnicodeError:
        return tidy(value if isinstance(value, str) else value.decode("latin-1"))
