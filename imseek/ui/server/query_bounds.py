"""Bounds of what clients may request: those of queries, and further ones for servers."""

from __future__ import annotations

from typing import Any, Final

from imseek.search import option_fields

#: Bounds of the server that queries have not elsewhere.
_BOUNDS: Final[dict[str, dict[str, int]]] = {
    "limit": {"le": 10_000},
    "where": {"max_length": 4000},
    "min_score": {"ge": -1, "le": 1},
    "per_group": {"le": 100},
    "rerank": {"max_length": 64},
    "rerank_limit": {"le": 200},
    "page": {"max_length": 4000},
    "more": {"max_length": 1000},
    "less": {"max_length": 1000},
}


def bounds_of(option: str) -> dict[str, Any]:
    """Return the bounds of an option of a query, by their names in Pydantic."""
    form = option_fields()[option].option
    bounds = {"ge": form.minimum, "le": form.maximum}
    return {name: bound for name, bound in bounds.items() if bound is not None} | _BOUNDS.get(option, {})
