"""Parse and format the constants of a filter: numbers, dates and patterns."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import Final

from imseek.errors import QueryError
from imseek.search.where.grammar import shorten

#: Maximum length of a ``regexp_matches`` pattern in characters.
MAX_PATTERN: Final = 200
#: What the pattern of ``~`` begins with, so that case does not count.
IGNORE_CASE: Final = "(?i)"
#: Bound of integers in a filter, of either sign: ``phash`` has 64 bits.
MAX_INT: Final = 2**64

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(_DATE.pattern + r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_ZONE: Final = re.compile(r"(.*[0-9])(Z|[+-][0-9:]{2,6})")


def parse_number(text: str) -> int | float:
    """Parse a number. Raises QueryError if a column cannot hold it."""
    try:
        number = int(text)
    except ValueError:
        pass
    else:
        if number >= MAX_INT:
            raise QueryError(f"{shorten(text, 30)} is beyond 64 bits")
        return number
    try:
        value = float(text)
    except ValueError:
        raise QueryError(f"{shorten(text, 30)} is not a number") from None
    if not math.isfinite(value):
        raise QueryError(f"{shorten(text, 30)} is too large")
    return value


def number_sql(value: int | float) -> str:
    """Format a number as SQL with an explicit type."""
    if isinstance(value, float):
        return f"CAST({value!r} AS DOUBLE)"  # 0.5 alone would be a DECIMAL
    return f"CAST({value:d} AS {'BIGINT' if abs(value) < 2**63 else 'HUGEINT'})"


def parse_time(text: str) -> datetime | date:
    """Parse a date, or a time without a zone, in ISO 8601. Raises QueryError."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:  # such as a thirteenth month
        pass
    if (zone_match := _ZONE.fullmatch(text)) and _TIME.fullmatch(zone_match[1]):
        raise QueryError(
            f"'{shorten(text, 40)}' has a time zone",
            hint="taken_at is what the camera's clock showed, without a zone",
        )
    raise QueryError(
        f"'{shorten(text, 30)}' is not a date",
        hint="dates are written '2023-05-01', times '2023-05-01 17:30:00'",
    )


def check_pattern(pattern: str) -> None:
    r"""Refuse patterns that make RE2 slow. Raises QueryError.

    RE2 takes time linear in the text, multiplied by the size of the automaton. Counted repetition and Unicode classes
    make a large automaton from few characters (`((.?){99}){10}` ran for half a minute and ignored the interrupt).
    """
    if len(pattern) > MAX_PATTERN:
        raise QueryError(f"a pattern has at most {MAX_PATTERN} characters")
    if "{" in pattern or "\\p" in pattern.lower():
        raise QueryError(r"a pattern holds neither counted repetition ({…}) nor \p classes")
