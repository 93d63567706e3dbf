"""State of `imseek browse`, apart from the screen: query, results, selection and scroll position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from imseek.search import By, Query, Term, parse_term
from imseek.types.search_results import Hit, SearchResult, describe_matches

#: Hits per page.
PAGE: Final = 60
#: Separator of terms in one line.
TERM_SEPARATOR: Final = " + "

#: An image, by the UUID of its collection and its id.
ImageKey: TypeAlias = tuple[str, int]


def key_of(hit: Hit) -> ImageKey:
    return hit.collection, hit.image_id


def terms_of(line: str) -> tuple[Term, ...]:
    """Parse ``a red car + ./night.jpg`` to terms, by :mod:`imseek.search.term_parser`. Raises QueryError."""
    return tuple(parse_term(part.strip()) for part in line.split(TERM_SEPARATOR) if part.strip())


@dataclass(frozen=True, slots=True)
class BrowseQuery:
    """The current query: the line as typed, filters, and hits marked as right or wrong."""

    line: str = ""
    more: tuple[int, ...] = ()
    less: tuple[int, ...] = ()
    where: str | None = None
    by: By = "auto"

    def toggle_feedback(self, image_id: int, *, wrong: bool = False) -> BrowseQuery:
        """Return the query with feedback on an image toggled: more like it, or less with ``wrong``."""
        ids, opposite = (self.less, self.more) if wrong else (self.more, self.less)
        opposite_ids = tuple(one for one in opposite if one != image_id)
        remaining = tuple(one for one in ids if one != image_id)
        ids = remaining if image_id in ids else (*ids, image_id)
        return replace(self, more=opposite_ids, less=ids) if wrong else replace(self, more=ids, less=opposite_ids)

    def query(self, page: str | None = None) -> Query | None:
        """Return the query of a page of hits, None without terms. Raises QueryError."""
        terms = terms_of(self.line)
        if not terms:
            return None
        return Query(terms, PAGE, self.by, where=self.where, more=self.more, less=self.less, page=page)


@dataclass(slots=True)
class BrowseResults:
    """The hits loaded so far, and the selected ones in order of selection, also from earlier searches."""

    hits: list[Hit] = field(default_factory=list)
    next_page: str | None = None
    searched: int = 0
    notes: tuple[str, ...] = ()
    selection: dict[ImageKey, Hit] = field(default_factory=dict)

    def take(self, result: SearchResult, *, further: bool) -> None:
        """Append a further page of hits, or replace the hits by a new result."""
        if not further:
            self.hits.clear()
            self.notes = result.notes
        self.hits.extend(result.hits)
        self.next_page = result.next_page
        self.searched = result.searched

    def toggle(self, hit: Hit) -> None:
        if self.selection.pop(key_of(hit), None) is None:
            self.selection[key_of(hit)] = hit

    def needs_next_page(self, last: int) -> bool:
        """Return whether the next page is due when the hit at ``last`` is the last visible one."""
        return self.next_page is not None and last >= len(self.hits) - PAGE // 2


@dataclass(frozen=True, slots=True)
class Window:
    """The visible part of a list: ``rows`` of ``columns`` hits from row ``top``, with the ``cursor`` on one of them."""

    columns: int
    rows: int
    top: int = 0
    cursor: int = 0

    @property
    def shown(self) -> range:
        start = self.top * self.columns
        return range(start, start + self.rows * self.columns)

    def at(self, cursor: int, count: int) -> Window:
        """Return the window with the cursor there, limited to ``count`` hits, scrolled as little as possible."""
        cursor = max(0, min(cursor, count - 1))
        row = cursor // self.columns
        top = min(max(self.top, row - self.rows + 1), row)
        return replace(self, top=max(0, top), cursor=cursor)

    def with_size(self, columns: int, rows: int, count: int) -> Window:
        return replace(self, columns=max(1, columns), rows=max(1, rows)).at(self.cursor, count)


def facts_of(hit: Hit, most: int = 40) -> list[tuple[str, str]]:
    """Return name and text of what is known about a hit: score, place, reason, and metadata that is not empty."""
    from imseek.types.pictures import display_path

    facts = [("score", f"{hit.score:.4f}"), ("id", str(hit.image_id))]
    if hit.place is not None:
        facts.append(("path", hit.place.display))
        if hit.place.uri and not hit.place.uri.startswith("file://"):
            facts.append(("uri", hit.place.uri))
    if matches := describe_matches(hit.matches):
        facts.append(("matched", matches))
    if hit.duplicates:
        facts.append(("same as", ", ".join(str(one) for one in hit.duplicates)))
    columns = {name: value for name, value in hit.metadata.items() if value is not None and value != ""}
    for name, value in list(columns.items())[:most]:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if isinstance(value, list):
            text = ", ".join(map(str, value))
        facts.append((_line(name), _line(text)))
    return [(name, display_path(text.encode("utf-8", "backslashreplace"))) for name, text in facts]


def _line(text: str, most: int = 400) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def paths_of(hits: Sequence[Hit]) -> list[str]:
    """Return the paths of hits as printable lines, without hits that have no place."""
    return [hit.place.display for hit in hits if hit.place is not None]
