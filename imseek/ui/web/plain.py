"""Foreign text, such as names of files, captions and tags, for places where Streamlit would take it for Markdown."""

from __future__ import annotations

import re
from typing import Final

from imseek.showing.words import shortened
from imseek.types import Place

#: Any ASCII punctuation may stand behind a backslash: https://spec.commonmark.org/0.31.2/#backslash-escapes
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
#: What makes links, emojis, icons and arrows of text even where it is escaped, since that is done after parsing.
_LATER: Final = re.compile(r"(?=[:@])|(?<=www)(?=\.)|(?<=[-<>=~])(?=[-<>=~])", re.IGNORECASE)
#: Shown as nothing, and lines may be broken there.
_NOTHING: Final = "\u200b"


def one_line(text: str, longest: int = 200) -> str:
    """``text`` as one printable line of at most ``longest`` characters: control characters, line breaks and marks that
    turn the direction of writing appear as escapes."""
    return shortened(text, longest)


def capitalised(text: str) -> str:
    """With a capital letter at its beginning, and the others as they are."""
    return text[:1].upper() + text[1:]


def file_name(place: Place | None) -> str:
    """The name of a file or member; of a row of a table ``table.parquet, row 7``."""
    if place is None:
        return "place unknown"
    shown = place.display
    if (row := place.uri.rpartition("#row=")[2]) and "#row=" in place.uri:
        return one_line(f"{shown.rpartition('!/')[0].rsplit('/', 1)[-1]}, row {row}")
    # A URL may end with a query, which says little about the picture.
    return one_line(shown.rstrip("/").rsplit("/", 1)[-1])


def markdown_free(text: str, longest: int = 200) -> str:
    """``text`` for labels and options of widgets, which Streamlit renders as Markdown: it looks as it is, on one line.

    What is returned is for showing only: compare and store ``text`` itself (``format_func=markdown_free``).
    """
    return _PUNCTUATION.sub(r"\\\1", _LATER.sub(_NOTHING, one_line(text.strip(), longest)))
