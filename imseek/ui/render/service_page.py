"""Render the pages with which the HTTP service greets a browser: what it is, and its routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from imseek.ui.render.html_templates import render

_METHODS: Final = ("get", "post", "put", "delete")


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the service; ``parameters`` are those of its query."""

    method: str
    path: str
    summary: str
    parameters: tuple[str, ...]


def start_page() -> str:
    """Render the page that says what the service is."""
    return "".join(render("service.html.j2", title="imseek", routes=()))


def routes_page(openapi: Mapping[str, Any]) -> str:
    """Render the page of all routes, from the service's OpenAPI document."""
    return "".join(render("service.html.j2", title="imseek: routes", routes=_routes(openapi)))


def _routes(openapi: Mapping[str, Any]) -> list[Route]:
    return [
        Route(
            method.upper(),
            path,
            operation.get("summary", ""),
            tuple(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"),
        )
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
        if method in _METHODS
    ]
