"""Foreign text, such as names of files, captions and tags, for places where Streamlit would take it for Markdown."""

from __future__ import annotations

import os
import re
from typing import Final

from imseek.types import display_path

#: Any ASCII punctuation may stand behind a backslash: https://spec.commonmark.org/0.31.2/#backslash-escapes
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
#: What makes links, emojis, icons and arrows of text even where it is escaped, since that is done after parsing.
_LATER: Final = re.compile(r"(?=[:@])|(?<=www)(?=\.)|(?<=[-<>=~])(?=[-<>=~])", re.IGNORECASE)
#: Shown as nothing, and lines may be broken there.
_NOTHING: Final = "\u200b"


def one_line(text: str, longest: int = 200) -> str:
    """``text`` as one printable line of at most ``longest`` characters: control characters, line breaks and marks that
    turn the direction of writing appear as escapes."""
    line = display_path(
        os.fsencode(text[: longest + 1]) if _is_encodable(text) else text.encode("utf-8", "replace")
    )
    return line if len(line) <= longest else line[: longest - 1] + "…"


def markdown_free(text: str, longest: int = 200) -> str:
    """``text`` for labels and options of widgets, which Streamlit renders as Markdown: it looks as it is, on one line.

    What is returned is for showing only: compare and store ``text`` itself (``format_func=markdown_free``).
    """
    return _PUNCTUATION.sub(r"\\\1", _LATER.sub(_NOTHING, one_line(text.strip(), longest)))


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
