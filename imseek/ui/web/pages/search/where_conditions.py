"""Metadata filters as users choose them: written as ``where`` conditions (docs/where.md), and parsed back."""

from __future__ import annotations

import re
from calendar import month_name
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeAlias

from imseek.search import Box
from imseek.ui.web.search_state import sql_literal

Bound: TypeAlias = "float | date | None"

#: A column name that needs no quotes, unless it is an SQL keyword.
_PLAIN: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RESERVED_WORDS: Final = frozenset(
    [
        *("and", "or", "not", "in", "is", "null", "like", "between", "case", "when", "then", "else", "end"),
        *("true", "false", "as"),
    ]
)
_NAME: Final = r'(?:[a-z][a-z0-9_]*|"(?:[^"]|"")+")'
_TEXT: Final = r"'(?:[^']|'')*'"
_NUMBER: Final = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|'\d{4}-\d\d-\d\d'"
_IN: Final = re.compile(rf"({_NAME}) IN \(({_TEXT}(?:, {_TEXT})*)\)")
_TAGS: Final = re.compile(rf"tag\({_TEXT}\)(?: OR tag\({_TEXT}\))*")
_RANGE: Final = re.compile(rf"({_NAME}) (?:>= ({_NUMBER})(?: AND \1 <= ({_NUMBER}))?|<= ({_NUMBER}))")
_EQUAL: Final = re.compile(rf"({_NAME}) = ({_NUMBER})")
_KNOWN: Final = re.compile(rf"({_NAME}) IS NOT NULL")
_TRUE: Final = re.compile(rf"({_NAME}) IS (TRUE|FALSE)")
_BELOW: Final = re.compile(rf"starts_with\(path, {_TEXT}\)(?: OR starts_with\(path, {_TEXT}\))*")
_DEGREES: Final = r"(-?\d+(?:\.\d+)?)"
_BOX: Final = rf"latitude BETWEEN {_DEGREES} AND {_DEGREES} AND longitude BETWEEN {_DEGREES} AND {_DEGREES}"
_BOXES: Final = re.compile(rf"{_BOX}(?: OR {_BOX})*")
_HOLDS: Final = re.compile(rf"contains\(lower\(({_NAME})\), ({_TEXT})\)")

#: Stands for tags, which are no column.
TAG: Final = "tag()"
#: The column that ``below`` is about.
FOLDER: Final = "folder"
#: The column that ``boxes`` and "with a location" are about.
LOCATION: Final = "latitude"
#: Aspect ratio above which an image is a landscape; below 0.95 it is a portrait.
WIDE: Final = 1.05
SHAPES: Final = {"landscape": (WIDE, None), "portrait": (None, 0.95), "square": (0.95, WIDE)}


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one column: one of ``values``, between ``low`` and ``high``, ``known``, ``holds`` or ``true``.

    ``holds`` is a substring, whatever its case. ``below`` are folders, in which or below which the image is, and
    ``boxes`` parts of the world, in one of which it was taken.
    """

    column: str
    values: tuple[str, ...] = ()
    low: Bound = None
    high: Bound = None
    known: bool = False
    holds: str = ""
    true: bool | None = None
    below: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()

    @property
    def empty(self) -> bool:
        return not (
            self.values
            or self.below
            or self.boxes
            or self.known
            or self.holds.strip()
            or self.true is not None
            or self.low is not None
            or self.high is not None
        )

    def sql(self) -> str:
        """Return the condition of a filter that is not empty."""
        name = quote_column(self.column)
        if self.column == TAG:
            return " OR ".join(f"tag({sql_literal(value)})" for value in self.values)
        if self.below:
            return " OR ".join(f"starts_with(path, {sql_literal(folder_prefix(folder))})" for folder in self.below)
        if self.boxes:
            return " OR ".join(box.where for box in self.boxes)
        if self.values:
            return f"{name} IN ({', '.join(map(sql_literal, self.values))})"
        if self.holds:
            return f"contains(lower({name}), {sql_literal(self.holds.lower())})"
        if self.true is not None:
            return f"{name} IS {'TRUE' if self.true else 'FALSE'}"
        if self.known:
            return f"{name} IS NOT NULL"
        if self.low is not None and self.low == self.high:
            return f"{name} = {_number(self.low)}"
        bounds = [
            f"{name} {sign} {_number(bound)}"
            for sign, bound in ((">=", self.low), ("<=", self.high))
            if bound is not None
        ]
        return " AND ".join(bounds)

    def words(self) -> str:
        """Describe the filter for users."""
        column = "tag" if self.column == TAG else self.column.replace("_", " ")
        if self.values:
            return f"{column}: {' or '.join(value or '(empty)' for value in self.values)}"
        if self.below:
            return f"{column}: {' or '.join(folder.rsplit('/', 1)[-1] or folder for folder in self.below)}"
        if self.boxes:
            return f"location: {' or '.join(map(_place, self.boxes))}"
        if self.holds:
            return f"{column} contains “{self.holds}”"
        if self.true is not None:
            return column if self.true else f"not {column}"
        if self.known:
            return {"latitude": "with a location", "caption": "with a caption"}.get(self.column, f"{column} is known")
        if self.column == "aspect":
            for name, bounds in SHAPES.items():
                if bounds == (self.low, self.high):
                    return name
        if self.column == "day" and (span := _span(self.low, self.high)) is not None:
            return span
        low, high = (None if one is None else _number(one).strip("'") for one in (self.low, self.high))
        if low is None or high is None:
            since, until = ("from", "until") if self.column == "day" else ("at least", "at most")
            return f"{column} {since} {low}" if low is not None else f"{column} {until} {high}"
        return f"{column} {low}" if low == high else f"{column} {low} to {high}"


def parse_filter(condition: str) -> Filter | None:
    """Parse a condition that :meth:`Filter.sql` wrote; None for any other."""
    parsed = _read(condition)
    return parsed if parsed is not None and not parsed.empty and parsed.sql() == condition else None


def describe_condition(condition: str) -> str:
    """Describe a condition in words if it is one of ours, else return it as it is."""
    parsed = parse_filter(condition)
    return condition if parsed is None else parsed.words()


def filter_on(where: tuple[str, ...], column: str) -> Filter:
    """Return the filter on a column among conditions, an empty one if there is none."""
    return next((one for one in map(parse_filter, where) if one is not None and one.column == column), Filter(column))


def replace_filter(where: tuple[str, ...], new: Filter) -> tuple[str, ...]:
    """Replace the filter on a column by ``new``, or remove it if ``new`` is empty."""
    left = tuple(one for one in where if (parsed := parse_filter(one)) is None or parsed.column != new.column)
    return left if new.empty else (*left, new.sql())


def folder_prefix(folder: str) -> str:
    """Return what the paths of images in or below a folder begin with."""
    return folder if folder.endswith("/") else f"{folder}/"


def quote_column(name: str) -> str:
    """Quote a column name for a condition if necessary."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED_WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _span(low: Bound, high: Bound) -> str | None:
    """Return whole years or months as words, None for other spans of days."""
    if not (isinstance(low, date) and isinstance(high, date)):
        return None
    if low.day != 1 or (high + timedelta(1)).day != 1 or low > high:
        return None
    first, last = f"{month_name[low.month]} {low.year}", f"{month_name[high.month]} {high.year}"
    if (low.month, high.month) == (1, 12):
        first, last = str(low.year), str(high.year)
    return first if first == last else f"{first} to {last}"


def _number(value: float | date) -> str:
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    return f"{int(value)}" if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _place(box: Box) -> str:
    """Return a part of the world as degrees: ``59.6° to 60.2° N, 10.2° to 11° E``."""

    def span(low: float, high: float, ends: str) -> str:
        one, other = (re.sub(r"\.?0+°", "°", format_degrees(end, ends, 4)) for end in (low, high))
        if one == other:
            return one
        return f"{one[:-2]} to {other}" if one[-1] == other[-1] else f"{one} to {other}"

    return f"{span(box.south, box.north, 'SN')}, {span(box.west, box.east, 'WE')}"


def format_degrees(value: float, ends: str, digits: int) -> str:
    """Return a latitude or longitude as people write it, with ``ends`` for those below and above zero."""
    return f"{abs(value):.{digits}f}° {ends[value >= 0]}"


def _read(condition: str) -> Filter | None:
    if _TAGS.fullmatch(condition):
        return Filter(TAG, tuple(_unquote(one) for one in re.findall(_TEXT, condition)))
    if _BELOW.fullmatch(condition):
        prefixes = (_unquote(one) for one in re.findall(_TEXT, condition))
        return Filter(FOLDER, below=tuple(one.removesuffix("/") or one for one in prefixes))
    if _BOXES.fullmatch(condition):
        numbers = ([float(one) for one in box] for box in re.findall(_BOX, condition))
        return Filter(LOCATION, boxes=tuple(Box(west, south, east, north) for south, north, west, east in numbers))
    if match := _IN.fullmatch(condition):
        return Filter(_unquote(match[1]), tuple(_unquote(one) for one in re.findall(_TEXT, match[2])))
    if match := _HOLDS.fullmatch(condition):
        return Filter(_unquote(match[1]), holds=_unquote(match[2]))
    if match := _TRUE.fullmatch(condition):
        return Filter(_unquote(match[1]), true=match[2] == "TRUE")
    if match := _KNOWN.fullmatch(condition):
        return Filter(_unquote(match[1]), known=True)
    try:
        if match := _EQUAL.fullmatch(condition):
            return Filter(_unquote(match[1]), low=_bound(match[2]), high=_bound(match[2]))
        if match := _RANGE.fullmatch(condition):
            return Filter(_unquote(match[1]), low=_bound(match[2]), high=_bound(match[3] or match[4]))
    except ValueError:  # For example the 31st of February.
        return None
    return None


def _bound(text: str | None) -> Bound:
    if text is None:
        return None
    return date.fromisoformat(text.strip("'")) if text.startswith("'") else float(text)


def _unquote(text: str) -> str:
    mark = text[0]
    return text if mark not in "'\"" else text[1:-1].replace(mark * 2, mark)
