"""Terms of queries as people would type them: the inverse of the parser, for tests that go there and back."""

from __future__ import annotations

from decimal import Decimal

from imseek.search import term_parser
from imseek.search.query import Term
from imseek.search.region import format_region


def format_term(term: Term) -> str:
    """Return a text that the parser reads as ``term``, which has words, a path, a URL or an id."""
    if term.text is not None:
        what = term.text if _is_plain(term.text) else f"text:{term.text}"
    elif term.url is not None:
        what = term.url
    elif term.image_id is not None:
        what = f"id:{term.image_id}" if term.region is None else f"id:{term.image_id}@{format_region(term.region)}"
    else:
        path = str(term.picture)
        what = path if path.startswith(("/", "../")) else f"./{path}"
    return what if term.weight == 1 else f"{Decimal(repr(float(term.weight))):f}:{what}"


def _is_plain(text: str) -> bool:
    """Whether the text is parsed as itself, with or without a weight before it."""
    if text != text.strip() or text == "-" or text.startswith(("/", "./", "../", "~/", "text:")):
        return False
    patterns = (term_parser._WEIGHT, term_parser._ID, term_parser._URL, term_parser.FILE_URI)
    return not any(pattern.match(text) for pattern in patterns)
