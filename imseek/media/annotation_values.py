"""Annotations: what people and their programs say of a picture, in words and marks, as bounded and printable values.

The texts come from strangers' files. Each becomes one printable line; of a list at most ``MAX_ENTRIES`` entries of
``MAX_LENGTH`` characters are kept, each once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

MAX_TEXT: Final = 2000  # characters kept of a text field
#: Entries of a list, and characters of an entry or a colour label.
MAX_ENTRIES: Final = 256
MAX_LENGTH: Final = 128
#: xmp:Rating, where -1 means rejected and 0 unrated.
RATINGS: Final = range(-1, 6)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Title, caption, keywords, people, rating (-1: rejected, 0: unrated, up to 5) and colour label of a picture.

    Annotations that are missing are None or empty.
    """

    caption: str | None = None
    title: str | None = None
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    rating: int | None = None
    colour_label: str | None = None

    def or_else(self, other: Annotations) -> Annotations:
        """Return these annotations, each one that is not stated taken from ``other``."""
        merged = {f.name: _stated(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return Annotations(**merged)


def tidy_list(values: Iterable[Any]) -> tuple[str, ...]:
    """Return tidy entries of a list from texts or IPTC's bytes; anything else is dropped."""
    entries: dict[str, None] = {}
    for value in values:
        if (text := shorten(decode_text(value))) is not None:
            entries[text] = None
            if len(entries) == MAX_ENTRIES:
                break
    return tuple(entries)


def shorten(text: str | None) -> str | None:
    """Return the first ``MAX_LENGTH`` characters of a tidy text, or None where nothing is left."""
    return None if text is None else text[:MAX_LENGTH].strip() or None


def parse_rating(value: Any) -> int | None:
    """Parse a rating of xmp:Rating or EXIF, fractions rounded down; None for anything else."""
    try:
        rating = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return rating if rating in RATINGS else None


def _stated(first: Any, second: Any) -> Any:
    return second if first in (None, ()) else first


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
