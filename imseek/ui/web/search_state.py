"""State of the search page: as values, as URL query parameters, and as a :class:`imseek.Query`.

    ?c=photos&q=a+dog&q=2:beach&not=snow&like=id:5&like=upload:HASH&unlike=0.5:id:9&more=5&less=9&where=year+%3E+2020

``q`` and ``not`` hold words, optionally with a weight (``2:beach``), ``like`` and ``unlike`` pictures, or a region of
one (``id:5@0.25,0.25,0.5,0.5``). They may be repeated, as may ``where`` (conditions, all of which must hold), ``more``
and ``less``. A URL may hold anything: what cannot be parsed is left out and reported. It never names a file or a URL,
so that a link from somebody else makes this machine open nothing: pictures are those of the collection, or earlier
uploads (:mod:`imseek.ui.web.uploads`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from imseek.errors import QueryError
from imseek.search import (
    NOT_WEIGHT,
    By,
    GroupBy,
    Query,
    Region,
    Sort,
    Term,
    format_region,
    option_fields,
    parse_region,
    split_weight,
)

#: An order of a query; or, of all pictures, the newest in the collection first. Otherwise these come by their dates.
Order: TypeAlias = Sort | Literal["added"]
#: Words; an image of the collection, by its id; an uploaded picture, by its SHA-256.
PartKind: TypeAlias = Literal["words", "image", "upload"]

#: Default and maximum number of hits per page.
LIMIT: Final = 60
MAX_LIMIT: Final = 500
#: Maximum numbers of parts or conditions, of feedback ids, and of characters of a text in a URL.
_PARTS: Final = 16
MAX_FEEDBACK: Final = 200
_TEXT: Final = 4000
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"\d{1,19}", re.ASCII)
_TOKEN: Final = re.compile(r"[\w-]{1,200}", re.ASCII)
#: The name of a reranker.
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_SWITCH: Final = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One part of a query. ``what`` is words, the digits of an id, or a SHA-256 in hex.

    ``weight`` is positive, also if the part is ``unwanted``. ``region`` is a box of the picture (:class:`Term`).
    """

    kind: PartKind
    what: str
    weight: float = 1.0
    unwanted: bool = False
    region: Region | None = None

    def term(self, upload: Callable[[str], bytes]) -> Term:
        """Return the part as a term. ``upload`` returns a picture's bytes by its SHA-256.

        Raises QueryError, and whatever ``upload`` raises.
        """
        weight = -NOT_WEIGHT * self.weight if self.unwanted else self.weight
        if self.kind == "words":
            return Term(text=self.what, weight=weight)
        if self.kind == "image":
            return Term(image_id=int(self.what), weight=weight, region=self.region)
        return Term(picture=upload(self.what), weight=weight, region=self.region)

    def written(self) -> tuple[str, str]:
        """Return the part as name and value of a URL parameter."""
        if self.kind == "words":
            # Words that look like a weight get an explicit one.
            plain = self.weight == 1 and _try_split_weight(self.what) == (1.0, self.what)
            value = self.what if plain else f"{_format_number(self.weight)}:{self.what}"
            return ("not" if self.unwanted else "q"), value
        value = f"{'id' if self.kind == 'image' else 'upload'}:{self.what}"
        value = value if self.region is None else f"{value}@{format_region(self.region)}"
        value = value if self.weight == 1 else f"{_format_number(self.weight)}:{value}"
        return ("unlike" if self.unwanted else "like"), value


@dataclass(frozen=True, slots=True)
class SearchState:
    """Everything that a search on the page consists of. ``where`` are conditions that must all hold (docs/where.md).

    The fields from ``by`` on are options of a query (:class:`imseek.search.QueryOptions`), which checks their values.
    ``cutoff`` is True for ``auto``, or a promise (``10%``).
    """

    parts: tuple[QueryPart, ...] = ()
    where: tuple[str, ...] = ()
    more: tuple[int, ...] = ()
    less: tuple[int, ...] = ()
    by: By = "auto"
    sort: Order = "score"
    group_by: GroupBy | None = None
    cutoff: bool | str = True
    collapse: bool = True
    diversity: float = 0.0
    rerank: str | None = None
    hubness: bool = False
    exact: bool = False
    limit: int = LIMIT
    page: str | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to search for, so that only ``where`` selects the images shown."""
        return not self.parts and not self.more

    @property
    def collapses(self) -> bool:
        """Whether near-duplicates are shown as one: where all that is relevant is known, in the order of relevance."""
        return self.collapse and bool(self.cutoff) and self.sort != "date" and self.by != "text"

    @property
    def condition(self) -> str | None:
        """``where`` as one condition."""
        if len(self.where) < 2:
            return self.where[0] if self.where else None
        return " AND ".join(f"({one})" for one in self.where)

    def query(self, upload: Callable[[str], bytes]) -> Query:
        """Return the query. ``upload`` returns a picture's bytes by its SHA-256.

        Without parts, it searches for images like those marked as right. Raises QueryError, and whatever ``upload``
        raises.
        """
        parts = self.parts or tuple(QueryPart("image", str(one)) for one in self.more)
        options = {one.name: getattr(self, one.name) for one in _OPTIONS.values()}
        options["collapse"] = self.collapses
        options["cutoff"] = "auto" if self.cutoff is True else self.cutoff or None
        options["sort"] = "date" if self.sort == "date" else "score"
        if self.sort == "date":  # Diversity (MMR) and rerankers impose an order of their own.
            options |= {"diversity": 0.0, "rerank": None}
        return Query(
            tuple(part.term(upload) for part in parts),
            where=self.condition,
            per_group=6,
            more=self.more if self.parts else (),
            less=self.less,
            **options,
        )

    def parameters(self, collection: str | None = None) -> dict[str, list[str]]:
        """Return the URL query parameters, without those at their defaults."""
        parameters: dict[str, list[str]] = {} if collection is None else {"c": [collection]}
        for part in self.parts:
            name, value = part.written()
            parameters.setdefault(name, []).append(value)
        several = {"where": self.where, "more": self.more, "less": self.less}
        parameters.update({name: [str(one) for one in values] for name, values in several.items() if values})
        for name, one in _OPTIONS.items():
            if (value := getattr(self, one.name)) != one.default:
                parameters[name] = [_format_option(value)]
        return parameters

    def with_changes(self, **changes: Any) -> SearchState:
        """Return a copy with changed fields, on the first page of hits."""
        return replace(self, **{"page": None, **changes})

    def with_part(self, part: QueryPart) -> SearchState:
        """Add a part, or change its weight if it is there already."""
        for n, one in enumerate(self.parts):
            if replace(one, weight=part.weight) == part:
                return self.with_changes(parts=(*self.parts[:n], part, *self.parts[n + 1 :]))
        return self.with_changes(parts=(*self.parts, part))

    def without_part(self, n: int) -> SearchState:
        return self.with_changes(parts=self.parts[:n] + self.parts[n + 1 :])

    def mark(self, image_id: int, *, right: bool) -> SearchState:
        """Mark an image as right or wrong; repeating it removes the mark."""
        ids, opposite = (self.more, self.less) if right else (self.less, self.more)
        ids = tuple(one for one in ids if one != image_id) if image_id in ids else (*ids, image_id)
        opposite = tuple(one for one in opposite if one != image_id)
        return self.with_changes(more=ids, less=opposite) if right else self.with_changes(more=opposite, less=ids)

    def mark_all(self, image_ids: Sequence[int], *, right: bool) -> SearchState:
        """Mark images as right or wrong; the latest ones stay if there are more than an address holds."""
        ids, opposite = (self.more, self.less) if right else (self.less, self.more)
        ids = tuple(dict.fromkeys([*ids, *image_ids]))[-MAX_FEEDBACK:]
        opposite = tuple(one for one in opposite if one not in ids)
        return self.with_changes(more=ids, less=opposite) if right else self.with_changes(more=opposite, less=ids)


@dataclass(frozen=True, slots=True)
class ParsedAddress:
    """The search that a URL describes, and its parameters (``name=value``) that could not be parsed."""

    state: SearchState
    unread: tuple[str, ...] = ()


def parse_address(parameters: Mapping[str, Sequence[str]]) -> ParsedAddress:
    """Parse URL query parameters; names that belong to no search are ignored."""
    unread: list[str] = []
    parts: list[QueryPart] = []
    for name, pictures, unwanted in (
        ("q", False, False),
        ("like", True, False),
        ("not", False, True),
        ("unlike", True, True),
    ):
        for value in parameters.get(name, ()):
            part = _part(value, pictures, unwanted)
            if part is not None and len(parts) < _PARTS:
                parts.append(part)
            elif value.strip():  # An empty `q=` comes from an empty form.
                unread.append(f"{name}={value}")

    where: list[str] = []
    for value in parameters.get("where", ()):
        if value.strip() and len(value) <= _TEXT and len(where) < _PARTS:
            where.append(value.strip())
        elif value.strip():
            unread.append(f"where={value}")
    more = _ids(parameters, "more", (), unread)
    less = _ids(parameters, "less", more, unread)

    options: dict[str, Any] = {}
    for name, one in _OPTIONS.items():
        if text := (parameters.get(name) or ("",))[-1]:
            try:
                options[one.name] = _read_option(one.name, text)
            except (QueryError, ValueError, OverflowError):
                unread.append(f"{name}={text}")
    return ParsedAddress(
        SearchState(tuple(parts), tuple(where), more, less, **options),
        tuple(text if len(text) <= 80 else text[:80] + "…" for text in unread),
    )


#: Options of a query by their URL parameters, which are their names, except for two shorter ones.
_OPTIONS: Final = {
    {"limit": "n", "group_by": "group"}.get(one.name, one.name): one for one in fields(SearchState) if one.default != ()
}
#: URL parameters that belong to a search.
PARAMETERS: Final = ("q", "not", "like", "unlike", "where", "more", "less", *_OPTIONS)
#: Parameters that only affect presentation: changing them adds no entry to the browser's history.
MINOR_PARAMETERS: Final = tuple(name for name in _OPTIONS if name != "page")


def text_search(text: str, *, weight: float = 1.0) -> SearchState:
    """Return a search for words."""
    return SearchState((QueryPart("words", text.strip(), weight),))


def more_like(image_id: int, region: Region | None = None) -> SearchState:
    """Return a search for images similar to a stored one, or to a region of it."""
    return SearchState((QueryPart("image", str(image_id), region=region),))


def filtered_search(*where: str) -> SearchState:
    """Return a search for all images that meet these conditions (docs/where.md), newest first."""
    return SearchState(where=where)


def sql_literal(text: str) -> str:
    """Quote a text as a string literal of a condition."""
    return "'" + text.replace("'", "''") + "'"


def parse_typed(text: str) -> QueryPart | None:
    """Parse the search box: words (``2:beach``) or a stored image (``id:17``, or a region of it as in an address),
    unwanted with a minus (``-snow``).

    Returns None for empty text. Raises QueryError for an invalid weight. The page detects paths and URLs itself, since
    only typed ones may be opened, never linked ones.
    """
    typed = text.strip()
    unwanted = len(typed) > 1 and typed[0] == "-" and not typed[1].isspace()
    weight, term = split_weight(typed[1:].strip() if unwanted else typed)
    term = term.strip()
    if match := re.fullmatch(r"id:(\d{1,19})(?:@([\d., ]+))?", term, re.ASCII):
        if int(match[1]) >= 1 << 63:
            raise QueryError(f"there is no image {match[1]}", hint="ids are shown beside each picture")
        region = None if match[2] is None else parse_region(match[2])
        return QueryPart("image", str(int(match[1])), weight, unwanted, region)
    term = term.removeprefix("text:").strip()
    if len(term) > _TEXT:
        raise QueryError(f"these words are longer than {_TEXT:,} characters", hint="ask for less at once")
    return QueryPart("words", term, weight, unwanted) if term else None


def _try_split_weight(text: str) -> tuple[float, str] | None:
    """Split a leading weight from a text; None if the weight is invalid (0, infinity)."""
    try:
        return split_weight(text)
    except QueryError:
        return None


def _part(value: str, pictures: bool, unwanted: bool) -> QueryPart | None:
    weighted = _try_split_weight(value)
    if weighted is None or len(value) > _TEXT or "\0" in value:
        return None
    weight, term = weighted[0], weighted[1].strip()
    if not pictures:
        return QueryPart("words", term, weight, unwanted) if term else None
    kind, _, reference = term.partition(":")
    name, at_sign, box = reference.partition("@")
    try:
        region = parse_region(box) if at_sign else None
    except QueryError:
        return None
    if kind == "id" and _ID.fullmatch(name) and int(name) < 1 << 63:
        return QueryPart("image", str(int(name)), weight, unwanted, region)
    if kind == "upload" and _HASH.fullmatch(name):
        return QueryPart("upload", name, weight, unwanted, region)
    return None


def _ids(
    parameters: Mapping[str, Sequence[str]], name: str, excluded: Sequence[int], unread: list[str]
) -> tuple[int, ...]:
    ids: dict[int, None] = {}
    for value in parameters.get(name, ()):
        for part in value.split(","):
            text = part.strip()
            fits = _ID.fullmatch(text) and int(text) < 1 << 63 and int(text) not in excluded
            if fits and len(ids) < MAX_FEEDBACK:
                ids[int(text)] = None
            elif text:
                unread.append(f"{name}={text}")
    return tuple(ids)


def _read_option(name: str, text: str) -> Any:
    """Parse an option of a query from its text in a URL. Raises QueryError, ValueError, OverflowError."""
    option = option_fields()[name]
    if name == "sort" and text == "added":
        return text
    if option.kind is bool or (name == "cutoff" and not text.endswith("%")):
        if text not in _SWITCH:
            raise ValueError(text)
        return _SWITCH[text]
    if name == "limit" and float(text) > MAX_LIMIT:
        raise ValueError(text)
    if (name == "page" and not _TOKEN.fullmatch(text)) or (name == "rerank" and not _NAME.fullmatch(text)):
        raise ValueError(text)
    return option.check(text if option.kind is str else option.kind(float(text)), name)


def _format_option(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else _format_number(value)


def _format_number(number: float) -> str:
    """Format a number as weights are written: no exponent, no trailing zeros."""
    text = f"{Decimal(repr(float(number))):f}"
    return text.removesuffix(".0")
