"""Sanitise text from files: one line, printable, bounded."""

from __future__ import annotations

from typing import Any, Final

MAX_TEXT: Final = 2000  # characters kept of a text field


def tidy(text: str) -> str | None:
    """Return the first ``MAX_TEXT`` characters of ``text`` as one printable line, or None where nothing is left."""
    text = text.partition("\0")[0][:MAX_TEXT]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or None


def decode_text(value: Any) -> str | None:
    """Decode an EXIF or IPTC field and tidy it; None for a value that is neither text nor bytes.

    EXIF prescribes ASCII and Pillow reads Latin-1, but newer programs write UTF-8: decoded as UTF-8 where valid.
    """
    if not isinstance(value, str | bytes):
        return None
    try:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        return tidy(raw.decode("utf-8"))
    except UnicodeError:
        return tidy(value if isinstance(value, str) else value.decode("latin-1"))
