"""The columns and functions that filters may use. docs/where.md lists the same; a test compares them.

Templates are SQL for DuckDB. Where DuckDB would repeat an argument (as NULLIF does), the template repeats it, so that
``compiler`` sees how long nested expressions become.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The type of an expression, worded as in messages."""

    BOOL = "true or false"
    INT = "a whole number"
    FLOAT = "a number"
    TEXT = "text"
    TIME = "a time"
    DATE = "a date"
    LIST = "a list of texts"
    NULL = "NULL"


NUMBERS: Final = frozenset({Kind.INT, Kind.FLOAT})
TIMES: Final = frozenset({Kind.TIME, Kind.DATE})
TEXTS: Final = frozenset({Kind.TEXT})
ANY: Final = frozenset(Kind) - {Kind.NULL, Kind.LIST}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values of a column come from.

    ``what`` is ``stored`` (a column of the shards' Parquet files), ``place`` (``path`` or ``source``, from the
    catalog), ``tag`` (whether an image has the tag ``name``) or ``id``.
    """

    what: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class VirtualColumn:
    """A column computed from ``inputs``, which ``sql`` refers to as ``{0}``, ``{1}``…"""

    kind: Kind
    inputs: tuple[Source, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a fixed number of arguments or, if ``variadic``, one or more arguments of one kind.

    ``constants`` are positions that require a constant. ``result`` is None if it is the kind of the first argument.
    """

    arguments: tuple[frozenset[Kind], ...]
    result: Kind | None
    sql: str
    optional: int = 0
    variadic: bool = False
    constants: frozenset[int] = frozenset()


def _stored_columns(*names: str) -> tuple[Source, ...]:
    return tuple(Source("stored", name) for name in names)


_PATH = (Source("place", "path"),)
_TAKEN = _stored_columns("taken_at")
_FOLDER = "parse_dirpath({0}, 'forward_slash')"
_NAME = "parse_filename({0}, FALSE, 'forward_slash')"

#: A stored column with one of these names is available as ``extra_<name>``.
VIRTUAL: Final[Mapping[str, VirtualColumn]] = {
    "image_id": VirtualColumn(Kind.INT, (Source("id"),), "{0}"),
    "path": VirtualColumn(Kind.TEXT, _PATH, "{0}"),
    "folder": VirtualColumn(
        Kind.TEXT,
        _PATH,
        f"(CASE WHEN {_FOLDER} = '' AND starts_with({{0}}, '/') THEN '/' ELSE {_FOLDER} END)",
    ),
    "name": VirtualColumn(Kind.TEXT, _PATH, _NAME),
    "extension": VirtualColumn(
        Kind.TEXT, _PATH, r"lower(regexp_extract({0}, '[^/]\.([A-Za-z0-9]{{1,16}})(?:[?#].*)?$', 1))"
    ),
    "source": VirtualColumn(Kind.INT, (Source("place", "source"),), "CAST({0} AS BIGINT)"),
    "megapixels": VirtualColumn(
        Kind.FLOAT,
        _stored_columns("width", "height"),
        "(CAST({0} AS DOUBLE) * CAST({1} AS DOUBLE) / CAST(1000000 AS DOUBLE))",
    ),
    "aspect": VirtualColumn(
        Kind.FLOAT,
        _stored_columns("width", "height"),
        "(CASE WHEN {1} <> 0 THEN CAST({0} AS DOUBLE) / CAST({1} AS DOUBLE) END)",
    ),
    "content_hash": VirtualColumn(Kind.TEXT, _stored_columns("content_hash"), "lower(hex({0}))"),
    "day": VirtualColumn(Kind.DATE, _TAKEN, "CAST({0} AS DATE)"),
    "year": VirtualColumn(Kind.INT, _TAKEN, "year(CAST({0} AS TIMESTAMP))"),
    "month": VirtualColumn(Kind.INT, _TAKEN, "month(CAST({0} AS TIMESTAMP))"),
}

#: Alternative column names.
ALIASES: Final[Mapping[str, str]] = {"ratio": "aspect", "date": "day", "filename": "name", "id": "image_id"}


#: Alternative names of stored columns: of a list, a filter speaks of each entry.
STORED_ALIASES: Final[Mapping[str, str]] = {"keyword": "keywords", "person": "people"}


def _part(name: str) -> Function:
    return Function((TIMES,), Kind.INT, f"{name}(CAST({{0}} AS TIMESTAMP))")


def _of_text(name: str, result: Kind = Kind.TEXT, others: int = 0) -> Function:
    holes = ", ".join(f"{{{n}}}" for n in range(others + 1))
    return Function((TEXTS,) * (others + 1), result, f"{name}({holes})")


#: Parts of times, for ``extract(… FROM time)`` and for functions of the same names.
PARTS: Final[Mapping[str, Function]] = {
    "year": _part("year"),
    "month": _part("month"),
    "day": _part("day"),
    "hour": _part("hour"),
    "minute": _part("minute"),
    "weekday": _part("isodow"),
}

#: Units for ``date_trunc``.
UNITS: Final = ("year", "month", "week", "day", "hour", "minute")

_WHOLE = frozenset({Kind.INT})

FUNCTIONS: Final[Mapping[str, Function]] = {
    **PARTS,
    "date_trunc": Function(
        (TEXTS, TIMES),
        Kind.TIME,
        "CAST(date_trunc({0}, CAST({1} AS TIMESTAMP)) AS TIMESTAMP)",
        constants=frozenset({0}),
    ),
    "lower": _of_text("lower"),
    "upper": _of_text("upper"),
    "trim": _of_text("trim"),
    "length": _of_text("length", Kind.INT),
    "left": Function((TEXTS, _WHOLE), Kind.TEXT, "left({0}, {1})"),
    "right": Function((TEXTS, _WHOLE), Kind.TEXT, "right({0}, {1})"),
    "substring": Function((TEXTS, _WHOLE, _WHOLE), Kind.TEXT, "substring({0}, {1}, {2})"),
    "starts_with": _of_text("starts_with", Kind.BOOL, 1),
    "ends_with": _of_text("suffix", Kind.BOOL, 1),
    "contains": _of_text("contains", Kind.BOOL, 1),
    "regexp_matches": Function((TEXTS, TEXTS), Kind.BOOL, "regexp_matches({0}, {1})", constants=frozenset({1})),
    "abs": Function((NUMBERS,), None, "abs({0})"),
    "round": Function(
        (NUMBERS, _WHOLE),
        Kind.FLOAT,
        "round(CAST({0} AS DOUBLE), CAST({1} AS INTEGER))",
        optional=1,
        constants=frozenset({1}),
    ),
    "floor": Function((NUMBERS,), Kind.FLOAT, "floor(CAST({0} AS DOUBLE))"),
    "ceil": Function((NUMBERS,), Kind.FLOAT, "ceil(CAST({0} AS DOUBLE))"),
    "sqrt": Function((NUMBERS,), Kind.FLOAT, "(CASE WHEN {0} >= 0 THEN sqrt(CAST({0} AS DOUBLE)) END)"),
    "coalesce": Function((ANY,), None, "coalesce({0})", variadic=True),
    "least": Function((ANY,), None, "least({0})", variadic=True),
    "greatest": Function((ANY,), None, "greatest({0})", variadic=True),
}

#: imseek's own functions; their arguments are constants.
IMSEEK_FUNCTIONS: Final[Mapping[str, str]] = {
    "tag": "tag('name')",
    "near": "near(latitude, longitude, kilometres)",
}

#: Mean radius of the earth in kilometres (IUGG).
EARTH_KM: Final = 6371.0088

#: Tests whether the haversine (Sinnott 1984) of the angle between {0}, {1} and a constant point {2}, {3}, in degrees,
#: is at most {4}; false without computing it if {0} is not between {5} and {6}.
NEAR_SQL: Final = (
    "(CASE WHEN {0} NOT BETWEEN {5} AND {6} AND {1} IS NOT NULL THEN FALSE ELSE "
    "pow(sin(radians({0} - {2}) / 2), 2) + cos(radians({0})) * cos(radians({2})) * "
    "pow(sin(radians({1} - {3}) / 2), 2) <= {4} END)"
)

#: Types that CAST accepts, by sqlglot's type names.
CASTS: Final[Mapping[str, tuple[Kind, str]]] = {
    "BOOLEAN": (Kind.BOOL, "BOOLEAN"),
    "INT": (Kind.INT, "BIGINT"),
    "BIGINT": (Kind.INT, "BIGINT"),
    "DOUBLE": (Kind.FLOAT, "DOUBLE"),
    "FLOAT": (Kind.FLOAT, "DOUBLE"),
    "TEXT": (Kind.TEXT, "VARCHAR"),
    "VARCHAR": (Kind.TEXT, "VARCHAR"),
    "DATE": (Kind.DATE, "DATE"),
    "TIMESTAMP": (Kind.TIME, "TIMESTAMP"),
}
