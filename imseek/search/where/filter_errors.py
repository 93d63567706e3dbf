"""Errors for invalid filters. Only here are syntax trees turned back into text, for messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from imseek.errors import QueryError
from imseek.search.where.grammar import shorten

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


def unsupported_node(node: exp.Expr) -> QueryError:
    subject = _WHAT.get(type(node).__name__, f"{quote_node(node)} is")
    return QueryError(f"{subject} not part of a filter", hint="docs/where.md lists what a filter can use")


def not_orderable(node: exp.Expr) -> QueryError:
    return QueryError(f"{quote_node(node)} is true or false: it has no order")


def list_refusal(node: exp.Expr) -> QueryError:
    return QueryError(
        f"{quote_node(node)} is a list of texts: it has no order",
        hint="a filter compares its entries by =, <>, IN, LIKE or ILIKE",
    )


def too_large() -> QueryError:
    return QueryError("the filter is too large: it makes DuckDB repeat too much work", hint="nest less")


def quote_node(node: exp.Expr) -> str:
    """Return the node as text for a message."""
    try:
        return f"`{shorten(node.sql(unsupported_level=ErrorLevel.IGNORE))}`"
    except Exception:  # sqlglot does not document what it raises for invalid trees
        return f"`{type(node).__name__}`"
