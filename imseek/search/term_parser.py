r"""Parse query terms as users type them, without touching the file system.

    term   = [ weight ":" ] what
    weight = digits, with or without a fraction                 2:  0.5:  .5:
    what   = "http://…" | "https://…"                            a picture on the web
           | "/…" | "./…" | "../…" | "~/…" | "file://…"          a picture in a file
           | "id:" digits [ "@" x "," y "," w "," h ]            a stored image, or a region of it (docs/queries.md)
           | "-"                                                 a picture from standard input
           | "text:" words                                       these words, whatever they look like
           | words                                               where a picture is expected: a file of that name

Only one weight is read. Text that starts like a weight needs an explicit one (``1:16:9 screens``) or the prefix
(``text:16:9 screens``). Only that prefix preserves leading and trailing white space.

Use it only for input from this machine's user: a term may name any file. Input from elsewhere is read by
``query_json``, where text is always text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from imseek.errors import QueryError, UsageError
from imseek.search.query import Term
from imseek.search.region import parse_region
from imseek.tilde_expansion import expand_user

STDIN: Final = "-"
FILE_URI: Final = re.compile(r"file://", re.IGNORECASE)

_WEIGHT: Final = re.compile(r"(\d+\.?\d*|\.\d+):", re.ASCII)
_ID: Final = re.compile(r"id:(\d{1,40})(?:@([\d., ]+))?", re.ASCII)
_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_PATHS: Final = ("/", "./", "../", "~/")
_TEXT: Final = "text:"


def parse_term(text: str, *, picture: bool = False, stdin: Callable[[], bytes] | None = None) -> Term:
    """Parse a term. ``picture`` makes a bare name a file name instead of text.

    ``stdin`` returns the bytes of standard input; without it, ``-`` is refused. Raises QueryError.
    """
    weight, what = split_weight(text)
    if what == STDIN:
        if stdin is None:
            raise QueryError("a picture cannot come from standard input here", hint="write ./- for a file called -")
        return Term(picture=stdin(), weight=weight)
    if _URL.match(what):
        return Term(url=what, weight=weight)
    if FILE_URI.match(what):
        return Term(picture=path_of_uri(what), weight=weight)
    if what.startswith(_PATHS):
        return Term(picture=_path(what), weight=weight)
    if match := _ID.fullmatch(what):
        region = None if match[2] is None else parse_region(match[2])
        return Term(image_id=int(match[1]), weight=weight, region=region)
    if what.startswith(_TEXT):
        return Term(text=what[len(_TEXT) :], weight=weight)
    if picture and what.strip():
        return Term(picture=_path(what), weight=weight)
    return Term(text=what.strip(), weight=weight)


def split_weight(text: str) -> tuple[float, str]:
    """Split a term into its weight (1 if absent) and the rest. Raises QueryError for a weight of 0 or infinity."""
    match = _WEIGHT.match(text)
    if match is None:
        return 1.0, text
    weight = float(match[1])
    if not 0 < weight < float("inf"):
        raise QueryError(
            f"{match[1][:20]} is not a weight: a weight is a finite number above 0",
            hint=f"if it belongs to the words: {_TEXT}{text[:40]}",
        )
    return weight, text[match.end() :].lstrip()


def _path(what: str) -> Path:
    if not what.startswith("~/"):
        return Path(what)  # ./~/a lies in a folder named ~
    try:
        return expand_user(what)
    except UsageError as error:
        raise QueryError(str(error), hint=error.hint) from error


def path_of_uri(uri: str) -> Path:
    """Return the path of a file URI: /a b for file:///a%20b. Raises QueryError for a file on another machine."""
    try:
        parts = urlsplit(uri)
        path = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    except ValueError as error:  # UnicodeEncodeError is one too.
        raise QueryError(f"not a URI: {uri!r}") from error
    if parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise QueryError(f"{uri} is not a file on this machine", hint="file:///home/me/picture.jpg")
    return path
