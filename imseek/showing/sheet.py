"""Render a search result as a contact sheet: the query and its hits with scores and names, in one PNG."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from imseek.errors import MediaError, QueryError
from imseek.input_file import read_input
from imseek.media import Cell, Row, contact_sheet
from imseek.media.decode import DEFAULT_LIMITS
from imseek.search.query import Query, Term
from imseek.search.region import decode_region, is_shares
from imseek.showing.pictures import load_small, name_of, short_reason
from imseek.types.arrays import Pixels
from imseek.types.search_results import Hit, ReadPicture, SearchResult

#: Largest number of hits on a sheet, as viewers decode all of it.
MAX_SHEET_HITS: Final = 400
_COLUMNS: Final = 8
_SIDE: Final = 160
_THREADS: Final = 4


def render_sheet(query: Query, result: SearchResult, read: ReadPicture) -> bytes:
    """Render the first hits as a PNG; unreadable pictures become empty tiles with the reason."""

    def cell(numbered: tuple[int, Hit]) -> Cell:
        n, hit = numbered
        pixels: Pixels | str
        try:
            pixels = load_small(read, hit.collection, hit.image_id, _SIDE)
        except MediaError as error:
            pixels = short_reason(error)
        return Cell(pixels, f"{n}  {hit.score:.3f}\n{name_of(hit.place, hit.image_id)}")

    with ThreadPoolExecutor(_THREADS) as pool:
        cells = list(pool.map(cell, enumerate(result.hits[:MAX_SHEET_HITS], start=1)))
    row = Row(title_of(query), _query_picture(query, result, read), cells)
    return contact_sheet([row], thumb=_SIDE, columns=_COLUMNS)


def title_of(query: Query) -> str:
    """Describe a query in one line: ``a red car, night.jpg, not snow``."""
    return ", ".join(f"not {_term_label(term)}" if term.weight < 0 else _term_label(term) for term in query.terms)


def _term_label(term: Term) -> str:
    if term.text is not None:
        return term.text
    if isinstance(term.picture, Path):
        label = term.picture.name
    elif term.image_id is not None:
        label = f"image {term.image_id}"
    else:
        label = term.url or ("a picture" if term.picture is not None else "a vector")
    return label if term.region is None else f"part of {label}"


def _query_picture(query: Query, result: SearchResult, read: ReadPicture) -> Pixels | None:
    """Return the picture of a query that consists of one picture, if it is still available."""
    first = query.terms[0]
    try:
        if len(query.terms) > 1:
            return None
        if first.image_id is not None:
            if first.region is not None and not is_shares(first.region):
                return None  # A server sends smaller pictures, so a box in pixels does not fit them.
            return load_small(read, result.collections[0].collection, first.image_id, _SIDE, first.region)
        if first.picture is None:
            return None
        data = first.picture
        if not isinstance(data, bytes):
            data = read_input(data, most=DEFAULT_LIMITS.max_bytes)
        return decode_region(data, first.region, _SIDE)
    except (MediaError, QueryError, OSError):
        return None
