"""Untrusted text, such as file names, captions and tags, made safe where Streamlit would render it as Markdown."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st

from imseek.types.pictures import Place
from imseek.ui.render.words import shorten

#: A backslash escapes any ASCII punctuation: https://spec.commonmark.org/0.31.2/#backslash-escapes
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
#: Text that Streamlit turns into links, emojis, icons and arrows after parsing, even if escaped.
_POST_PROCESSED: Final = re.compile(r"(?=[:@])|(?<=www)(?=\.)|(?<=[-<>=~])(?=[-<>=~])", re.IGNORECASE)
#: Zero-width space: invisible, allows a line break.
_ZERO_WIDTH_SPACE: Final = "\u200b"


def one_line(text: str, longest: int = 200) -> str:
    """Return ``text`` as one printable line of at most ``longest`` characters.

    Control characters, line breaks and marks that change the direction of writing become escapes.
    """
    return shorten(text, longest)


def local_time(text: str) -> str:
    """Format an ISO 8601 time (UTC if it names no zone) as ``2024-05-31 14:03:22`` in the time zone of the reader's
    browser, or in that of this machine where it is unknown. Other text is returned as one printable line."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return one_line(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    zone = None
    with suppress(KeyError, ValueError, OSError):  # Unknown here, or nonsense.
        zone = ZoneInfo(st.context.timezone) if st.context.timezone else None
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def capitalise(text: str) -> str:
    """Capitalise the first letter and leave the others."""
    return text[:1].upper() + text[1:]


def file_name(place: Place | None) -> str:
    """Return the name of a file or archive member, or ``table.parquet, row 7`` for a row of a table."""
    if place is None:
        return "place unknown"
    path = place.display
    if (row := place.uri.rpartition("#row=")[2]) and "#row=" in place.uri:
        return one_line(f"{path.rpartition('!/')[0].rsplit('/', 1)[-1]}, row {row}")
    # A URL's query says little about the picture.
    return one_line(path.rstrip("/").rsplit("/", 1)[-1])


def escape_markdown(text: str, longest: int = 200) -> str:
    """Escape ``text`` for widget labels and options, which Streamlit renders as Markdown: it shows as it is, on one
    line.

    The result is for display only: compare and store ``text`` itself (``format_func=markdown_free``).
    """
    return _PUNCTUATION.sub(r"\\\1", _POST_PROCESSED.sub(_ZERO_WIDTH_SPACE, one_line(text.strip(), longest)))
