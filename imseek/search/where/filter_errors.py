"""What is said where a filter is refused. Trees become text again here, and only here: to be read by people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from imseek.errors import QueryError
from imseek.search.where.grammar import shown

_WHAT: Final[Mapping[str, str]] = {
    "Subquery": "a subquery is",
    "Select": "a subquery is",
    "Exists": "a subquery is",
    "Star": "`*` is",
    "Placeholder": "a parameter is",
    "Parameter": "a parameter is",
    "Lambda": "a lambda is",
    "Window": "a window function is",
    "Interval": "INTERVAL is",
    "Tuple": "a tuple is",
    "Bracket": "[…] is",
}


def refused(node: exp.Expr) -> QueryError:
    what = _WHAT.get(type(node).__name__, f"{quoted(node)} is")
    return QueryError(f"{what} not part of a filter", hint="what is, is listed in docs/where.md")


def no_order(node: exp.Expr) -> QueryError:
    return QueryError(f"{quoted(node)} is true or false: it has no order")


def too_large() -> QueryError:
    return QueryError("the filter is too large: what DuckDB has to repeat multiplies", hint="nest less")


def quoted(node: exp.Expr) -> str:
    try:
        return f"`{shown(node.sql(unsupported_level=ErrorLevel.IGNORE))}`"
    except Exception:  # what sqlglot raises for trees that make no sense is not documented
        return f"`{type(node).__name__}`"
